"""Tests for samples that copy training data, by distances to the nearest training examples."""

import contextlib
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Results
from genjax.evaluation.chunks import flat, per_row, squared_distances, squared_norms
from genjax.evaluation.fidelity import InFeatures
from genjax.evaluation.manifold import neighbour_distances
from genjax.models.base import GenerativeModel, Variables


def nearest(x: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, ...]:
    """Finds the nearest training example of each row.

    Args:
        x: [N, ...].
        train: [M, ...].

    Returns:
        Euclidean distances float64 [N], and indices int [N].
    """
    train = flat(train)
    squared, index = per_row(_nearest, flat(x), train, squared_norms(train))
    return np.sqrt(squared), index.astype(int)


def _nearest(rows: Array, train: Array, norms: Array) -> tuple[tuple[Array, Array], None]:
    squared = squared_distances(rows, train, norms)
    return (jnp.min(squared, axis=1), jnp.argmin(squared, axis=1)), None


class MannWhitney(NamedTuple):
    """Result of a Mann-Whitney test for copies.

    Attributes:
        z: Mann-Whitney statistic, standard normal for samples of the data's distribution;
            negative if samples are nearer to the training data than held-out examples are.
        bound: its smallest possible value, reached if every sample is nearer than all of these.
        p: probability of a value as small, by the normal approximation.
    """

    z: float
    bound: float
    p: float


def copying_z(train: np.ndarray, test: np.ndarray, generated: np.ndarray) -> MannWhitney:
    """Tests whether samples are nearer to the training data than held-out examples: Z_U of Meehan,
    Chaudhuri & Dasgupta (2020).

    Args:
        train: [M, ...].
        test: held-out examples [N, ...].
        generated: samples [K, ...].
    """
    return _mann_whitney(nearest(generated, train)[0], nearest(test, train)[0])


def copying_ct(
    train: np.ndarray,
    test: np.ndarray,
    generated: np.ndarray,
    *,
    cells: int = 10,
    seed: int = 0,
) -> tuple[float, int]:
    """Computes C_T (Meehan, Chaudhuri & Dasgupta, 2020, eq. 3): the mean of Z_U over the cells of a
    k-means partition of the training data, weighted by their shares of the held-out examples. So
    copying in one region is not hidden by other regions.

    Args:
        train: [M, ...].
        test: held-out examples [N, ...].
        generated: samples [K, ...].
        cells: number of cells.
        seed: of k-means.

    Returns:
        C_T, and the number of cells that count: those with at least 20 held-out examples and 20
        samples.

    Raises:
        UserError: no cell has enough of both.
    """
    from sklearn.cluster import KMeans  # slow to import

    train, test, generated = flat(train), flat(test), flat(generated)
    parts = KMeans(cells, n_init=1, random_state=seed).fit(np.asarray(train, np.float64))
    cell_of = [parts.predict(np.asarray(x, np.float64)) for x in (test, generated)]
    distances = [nearest(x, train)[0] for x in (test, generated)]
    weights, values = [], []
    for cell in range(cells):
        held_out, sampled = (d[c == cell] for d, c in zip(distances, cell_of, strict=True))
        if min(len(held_out), len(sampled)) >= 20:
            weights.append(len(held_out))
            values.append(_mann_whitney(sampled, held_out).z)
    if not weights:
        raise UserError(f'none of {cells} cells has 20 held-out examples and 20 samples: use fewer')
    return float(np.average(values, weights=weights)), len(weights)


def authenticity(train: np.ndarray, generated: np.ndarray) -> float:
    """Computes the share of authentic samples (Alaa et al., 2022): those farther from their nearest
    training example than that is from its own nearest one.

    It is not 1/2 for samples of the data's distribution, and falls with the dimension's inverse:
    compare it with that of held-out examples.

    Args:
        train: [M, ...], M > 1.
        generated: [N, ...].
    """
    distance, index = nearest(generated, train)
    own = np.sqrt(neighbour_distances(flat(train), 1))
    return float(np.mean(distance > own[index]))


def _mann_whitney(x: np.ndarray, y: np.ndarray) -> MannWhitney:
    """Whether x tends to be smaller than y (Mann & Whitney, 1947)."""
    from scipy.stats import norm, rankdata

    n, m = len(x), len(y)
    u = rankdata(np.concatenate([x, y]))[:n].sum() - n * (n + 1) / 2
    scale = np.sqrt(n * m * (n + m + 1) / 12)
    z = (u - n * m / 2) / scale
    return MannWhitney(float(z), float(-n * m / 2 / scale), float(norm.cdf(z)))


@dataclass(frozen=True, kw_only=True)
class Copying(InFeatures):
    """Tests for samples that copy the training split, with the examples of `split` held out.

    Gives 'z' (`copying_z`), its share 'of_bound' of the smallest possible value and its 'p' value,
    'c_t' (`copying_ct`, if a cell has enough examples), and the 'authenticity' of the samples and
    of the held-out examples, 'authenticity_data'.

    Attributes:
        cells: number of cells of C_T.
    """

    cells: int = 10

    @property
    def options(self) -> dict[str, object]:
        return {'cells': self.cells}

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it cannot be sampled, or `split` is 'train'."""
        if data.split == 'train':
            raise UserError('Copying needs held-out examples: give another split than train')
        samples, examples, protocol = self.drawn(model, variables, data, key, pairs=False)
        train = self.stored(data, 'train')
        found = copying_z(train, examples, samples)
        results = {'z': found.z, 'of_bound': found.z / found.bound, 'p': found.p}
        with contextlib.suppress(UserError):  # small splits
            results['c_t'], _ = copying_ct(train, examples, samples, cells=self.cells)
        return {
            **results,
            'authenticity': authenticity(train, samples),
            'authenticity_data': authenticity(train, examples),
            'protocol': protocol,
        }
