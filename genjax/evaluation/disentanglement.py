"""Metrics of disentanglement: whether single codes follow single factors of variation."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.models.base import Variables, has_normal_codes
from genjax.parallel.host import fetch
from genjax.protocols import protocol


def mig(codes: np.ndarray, factors: np.ndarray, *, bins: int = 20) -> float:
    """Computes the mutual information gap (Chen et al., 2018): the mean over the factors of the gap
    between the two largest mutual informations of a code with it, divided by its entropy.

    Args:
        codes: [N, D], D > 1; each is cut into `bins` of equal width.
        factors: int [N, K].
        bins: number of bins.

    Returns:
        From 0 to 1; less than 1 for perfect codes if bins and values of a factor do not agree.
    """
    codes, factors = _checked(codes, factors)
    binned = np.stack([_binned(code, bins) for code in codes.T], axis=1)
    gaps = []
    for factor in factors.T:
        information = sorted(_mutual_information(code, factor) for code in binned.T)
        gaps.append((information[-1] - information[-2]) / _mutual_information(factor, factor))
    return float(np.mean(gaps))


def sap(codes: np.ndarray, factors: np.ndarray) -> float:
    """Computes the separated attribute predictability (Kumar et al., 2018): the mean over the
    factors of the gap between the two largest squared correlations of a code with it.

    Args:
        codes: [N, D], D > 1.
        factors: [N, K], ordered values.
    """
    codes, factors = _checked(codes, factors)
    varies = codes.std(axis=0) > 0
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    correlations = np.corrcoef(codes[:, varies], factors, rowvar=False)
    scores[varies] = correlations[: varies.sum(), varies.sum() :] ** 2
    ordered = np.sort(scores, axis=0)
    return float(np.mean(ordered[-1] - ordered[-2]))


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness (Eastwood & Williams, 2018).

    Attributes:
        disentanglement: 1 if each code matters for one factor only.
        completeness: 1 if each factor depends on one code only.
        informativeness: held-out accuracy of the prediction of the factors, their mean.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def dci(codes: np.ndarray, factors: np.ndarray, *, trees: int = 20, seed: int = 0) -> DCI:
    """Computes DCI from the importances of codes in random forests that predict each factor.

    Trees are grown until they are pure. What noise leaves of a factor they split by any code, which
    lowers disentanglement and completeness, most for few rows and many classes.

    Args:
        codes: [N, D].
        factors: int [N, K]; every second row is held out for the accuracy.
        trees: trees of each forest.
        seed: of the forests.
    """
    from sklearn.ensemble import RandomForestClassifier  # slow to import

    codes, factors = _checked(codes, factors)
    importance, accuracy = [], []
    for factor in factors.T:
        forest = RandomForestClassifier(trees, max_features=None, random_state=seed)
        forest.fit(codes[::2], factor[::2])
        importance.append(forest.feature_importances_)
        accuracy.append(forest.score(codes[1::2], factor[1::2]))
    importance = np.stack(importance, axis=1)  # [D, K]
    of_codes = importance.sum(axis=1)
    per_code = 1 - _entropy(importance, axis=1) / np.log(importance.shape[1])
    per_factor = 1 - _entropy(importance, axis=0) / np.log(importance.shape[0])
    return DCI(
        float(np.average(per_code, weights=of_codes)),
        float(np.mean(per_factor)),
        float(np.mean(accuracy)),
    )


def factor_vae_score(
    encode: Callable[[np.ndarray], np.ndarray],
    draw: Callable[[np.random.Generator, int, int], np.ndarray],
    num_factors: int,
    *,
    rounds: int = 800,
    group: int = 64,
    seed: int = 0,
) -> float:
    """Computes the metric of FactorVAE (Kim & Mnih, 2018): the accuracy of a majority vote that
    names the fixed factor of a group of examples from the code that varies least.

    Args:
        encode: examples [N, ...] to codes [N, D].
        draw: `(generator, factor, num)` to `num` examples with one random value of that factor; a
            factor of -1 fixes none.
        num_factors: K.
        rounds: groups; half of them train the vote, the others test it.
        group: examples in a group.
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    scale = encode(draw(generator, -1, 2000)).std(axis=0)
    alive = scale > 0.05 * scale.max()  # codes that collapse onto the prior vary least of all
    if not alive.any():
        raise UserError('no code varies')
    votes = np.zeros((2, int(alive.sum()), num_factors), int)
    for number in range(rounds):
        factor = int(generator.integers(num_factors))
        codes = encode(draw(generator, factor, group))[:, alive] / scale[alive]
        votes[number % 2, np.argmin(codes.var(axis=0)), factor] += 1
    chosen = votes[0].argmax(axis=1)
    return float(votes[1][np.arange(len(chosen)), chosen].sum() / votes[1].sum())


@dataclass(frozen=True)
class Disentanglement(Evaluator):
    """Metrics of disentanglement of a model's codes, for data with `factors(split)`.

    Gives 'mig', 'sap', the 'disentanglement', 'completeness' and 'informativeness' of `dci`, and
    'protocol'; and 'factor_vae', the `factor_vae_score`, if the data have `draw_fixed`. Codes are
    `mean_codes`.

    Attributes:
        bins: bins of a code in `mig`.
        values: bins of equal width into which a factor that is not of integers is cut, except in
            `sap`. Perfect codes have a MIG of 1 if `bins` is a multiple of it.
        rounds: groups of the `factor_vae_score`.
        batch_size: examples per batch.
    """

    bins: int = 20
    values: int = 10
    rounds: int = 800
    batch_size: int = 500

    def __post_init__(self):
        for name in ('values', 'rounds'):
            if getattr(self, name) < 2:
                raise UserError(
                    f'Disentanglement.{name} must be at least 2, not {getattr(self, name)}'
                )

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it has no `encode` or its codes are tokens, or if
        the factors of the data are not known.
        """
        require(self, model, 'encode')
        dataset = data.dataset
        if not callable(getattr(dataset, 'factors', None)):
            name = type(dataset).__name__
            raise UserError(
                f'Disentanglement needs data with known factors (Jars); {name} has none'
            )
        codes = mean_codes(model, variables, data, key, self.batch_size)
        factors = dataset.factors(data.split)
        classes = in_classes(factors, self.values)
        results: Results = {
            'mig': mig(codes, classes, bins=self.bins),
            'sap': sap(codes, factors),
            **dci(codes, classes)._asdict(),
        }

        def encode(x: np.ndarray) -> np.ndarray:
            x = jax.device_put(x)
            return fetch(_codes(model, data.preprocess, variables, x, key)[0])

        draw = getattr(dataset, 'draw_fixed', None)
        if draw is not None:
            results['factor_vae'] = factor_vae_score(
                encode, draw, factors.shape[1], rounds=self.rounds
            )
        results['protocol'] = protocol(
            codes=codes.shape[1], split=data.split, examples=len(codes), bins=self.bins,
            values=self.values, rounds=0 if draw is None else self.rounds,
        )  # fmt: skip
        return results


def mean_codes(
    model: Any, variables: Variables, data: EvaluationData, key: Array, batch_size: int = 500
) -> np.ndarray:
    """Computes the codes [N, D] of a split: the means of those of `encode`, if these are
    normal (`has_normal_codes`); otherwise one draw each.

    Raises:
        UserError: the codes are tokens.
    """
    parts = []
    for batch in data.batches(batch_size):
        part, key = _codes(model, data.preprocess, variables, batch['x'], key)
        parts.append(fetch(part)[fetch(batch['mask'])])
    codes = np.concatenate(parts)
    if np.issubdtype(codes.dtype, np.integer):
        raise UserError(f'the codes of a {type(model).__name__} are tokens, not numbers')
    return codes


@functools.partial(jax.jit, static_argnums=(0, 1))
def _codes(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> tuple[Array, Array]:
    """Codes [B, D] of a batch, and the key for the next batch."""
    next_key, preprocess_key, key = jax.random.split(key, 3)
    x, _ = preprocess(x, preprocess_key)
    if has_normal_codes(model):
        z, _ = model.code_moments(variables, x)
    else:
        z = model.encode(variables, x, key)
    return z.reshape(len(z), -1), next_key


def in_classes(factors: np.ndarray, values: int = 10) -> np.ndarray:
    """Cuts factors [N, K] into bins of equal width, int [N, K]; integers stay as they are."""
    if np.issubdtype(factors.dtype, np.integer):
        return factors
    return np.stack([_binned(factor, values) for factor in factors.T], axis=1)


def _checked(codes: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise UserError(
            f'codes [N, D] and factors [N, K] have shapes {codes.shape} and {factors.shape}'
        )
    if codes.shape[1] < 2 or factors.shape[1] < 2:
        raise UserError('disentanglement needs at least two codes and two factors')
    for number in np.flatnonzero((factors == factors[0]).all(axis=0)):
        raise UserError(f'factor {number} has one value')
    return codes, factors


def _binned(code: np.ndarray, bins: int) -> np.ndarray:
    edges = np.linspace(code.min(), code.max(), bins + 1)
    return np.digitize(code, edges[1:-1])


def _mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """Mutual information of two discrete variables by their joint frequencies, in nats."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    both = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    return float(np.sum(joint[seen] * np.log(joint[seen] / both[seen])))


def _entropy(weights: np.ndarray, axis: int) -> np.ndarray:
    """Entropy of weights normalised along an axis, in nats."""
    total = np.maximum(weights.sum(axis=axis, keepdims=True), 1e-300)
    shares = weights / total
    return -np.sum(shares * np.log(np.maximum(shares, 1e-300)), axis=axis)
