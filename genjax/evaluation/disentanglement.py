"""Metrics of disentanglement: whether single codes follow single factors of variation."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.errors import UserError


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
