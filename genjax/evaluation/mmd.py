"""Maximum mean discrepancy between samples and data."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation.base import Results
from genjax.evaluation.bases import PerSample
from genjax.parallel.host import fetch

_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_MEDIAN_ROWS = 1000  # half a million distances are enough for their median


def mmd2(x: Array, y: Array, bandwidths: Array, chunk: int = 256, biased: bool = False) -> Array:
    """Unbiased estimate of the squared MMD (Gretton et al., JMLR 2012, eq. 3), a scalar, or the
    biased one (eq. 5).

    The kernel is the mean over the bandwidths h of exp(-‖x - y‖² / 2h²). Equal distributions give 0
    in expectation, so that half of the unbiased estimates are negative; the biased one is the
    squared MMD of the two sets of points, never negative.

    Args:
        x: [N, D], N > 1.
        y: [M, D], M > 1.
        bandwidths: [K], in the units of the data.
        chunk: rows of the kernel matrix at a time; limits memory to chunk x max(N, M).
        biased: whether to include pairs of a point with itself.
    """
    n, m = len(x), len(y)
    # The diagonal of the matrix is k(x, x) = 1.
    skipped = 0 if biased else 1
    within_x = (_kernel_sum(x, x, bandwidths, chunk) - skipped * n) / (n * (n - skipped))
    within_y = (_kernel_sum(y, y, bandwidths, chunk) - skipped * m) / (m * (m - skipped))
    return within_x + within_y - 2 * _kernel_sum(x, y, bandwidths, chunk) / (n * m)


def _kernel_sum(x: Array, y: Array, bandwidths: Array, chunk: int) -> Array:
    """Sum of k(x_i, y_j) over all pairs."""
    size = len(x)
    padded = jnp.pad(x, ((0, -size % chunk), (0, 0))).reshape(-1, chunk, x.shape[1])
    counts = (jnp.arange(padded.shape[0] * chunk) < size).reshape(-1, chunk)

    def part(inputs: tuple[Array, Array]) -> Array:
        rows, counts = inputs
        squared = _squared_distances(rows, y)[..., None] / (2 * bandwidths**2)
        return jnp.sum(jnp.mean(jnp.exp(-squared), axis=-1), axis=-1) * counts

    return jnp.sum(jax.lax.map(part, (padded, counts)))


def _squared_distances(x: Array, y: Array) -> Array:
    """Squared distances: [N, D], [M, D] -> [N, M]."""
    products = jnp.matmul(x, y.T, precision='highest')
    squared = jnp.sum(x**2, axis=-1)[:, None] - 2 * products + jnp.sum(y**2, axis=-1)
    return jnp.maximum(squared, 0.0)


def median_distance(x: np.ndarray) -> float:
    """Median distance between the rows of x [N, D] (at most a thousand of them)."""
    x = np.asarray(x[random_subset(len(x), _MEDIAN_ROWS)], np.float64)
    squared = np.sum(x**2, axis=1)
    squared = squared[:, None] + squared - 2 * x @ x.T
    upper = np.triu_indices(len(x), 1)
    return float(np.median(np.sqrt(np.maximum(squared[upper], 0))))


@dataclass(frozen=True)
class MMD(PerSample):
    """Squared maximum mean discrepancy of samples from the split.

    Gives 'mmd2' (unbiased: about 0, of either sign, for equal distributions), 'median' (the median
    distance between examples) and 'protocol'.

    Attributes:
        num_samples: number of samples, and of examples; fewer if the split is smaller.
        bandwidths: bandwidths of the Gaussian kernels, which are averaged; empty: the median
            distance between examples times 1/4, 1/2, 1, 2 and 4.
        batch_size: samples, examples, or rows of the kernel matrix at a time.
        as_stored: compare in the range of the data, rather than in the space of the model.
    """

    num_samples: int = 5000
    bandwidths: tuple[float, ...] = ()
    batch_size: int = 250
    as_stored: bool = False

    def __post_init__(self):
        if not all(width > 0 for width in self.bandwidths):
            raise UserError(f'MMD.bandwidths must be positive, not {self.bandwidths}')

    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        """Raises UserError if there are fewer than two examples."""
        if len(examples) < 2:
            raise UserError(f'MMD needs at least two examples, not {len(examples)}')
        drawn, real = (np.asarray(x, np.float32).reshape(len(x), -1) for x in (samples, examples))
        median = median_distance(real)
        bandwidths = self.bandwidths or tuple(factor * median for factor in _FACTORS)
        value = _mmd2(
            *jax.device_put((drawn, real, np.asarray(bandwidths, np.float32))), self.batch_size
        )
        widths = ', '.join(f'{width:.3g}' for width in bandwidths)
        return {'mmd2': float(fetch(value)), 'median': median, 'protocol': f'bandwidths {widths}'}


_mmd2 = functools.partial(jax.jit, static_argnums=3)(mmd2)
