"""Tests of the calibration of posterior samples, on T draws (θ, x) from the joint distribution.

Given x, the true θ and L samples of a calibrated posterior are exchangeable, so that the rank of
the truth among the samples, by any number computed of θ and x, is uniform on 0..L. The tests below
differ in this number, and in what they can miss: a posterior that ignores x, such as the prior, has
uniform ranks by every number that does not depend on x.
"""

import numpy as np
from numpy.typing import ArrayLike

_MOST_BINS, _LEAST_EXPECTED = 20, 5


def sbc_ranks(samples: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """Ranks int [T, P] of the true parameters [T, P] among samples [T, L, P], by coordinate: the
    simulation-based calibration of Talts et al. (2018). `rank_test` tests them.
    """
    samples, truth = np.asarray(samples), np.asarray(truth)
    return np.sum(samples < truth[:, None], axis=1)


def rank_test(ranks: ArrayLike, num_samples: int) -> float:
    """P-value of the hypothesis that ranks [T, P] are uniform on 0..num_samples.

    Pearson's chi-squared test of each coordinate, in at most 20 bins of at least 5 expected ranks,
    and the least of these P p-values times P (Bonferroni).
    """
    from scipy.stats import chisquare  # slow to import

    ranks = np.asarray(ranks)
    num, size = ranks.shape
    num_bins = int(np.clip(num // _LEAST_EXPECTED, 2, min(_MOST_BINS, num_samples + 1)))
    bin_of = np.arange(num_samples + 1) * num_bins // (num_samples + 1)
    expected = num * np.bincount(bin_of) / (num_samples + 1)
    least = min(
        chisquare(np.bincount(bin_of[column], minlength=num_bins), expected).pvalue
        for column in ranks.T
    )
    return min(1.0, size * float(least))


def expected_coverage(
    log_q_samples: ArrayLike, log_q_truth: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Share of true parameters inside the highest-density region of each level (Hermans et al.,
    2022).

    Below the diagonal the posterior is too narrow, above too wide. It is blind to a posterior that
    ignores x.

    Args:
        log_q_samples: [T, L], the posterior's log-density of its own samples.
        log_q_truth: [T], that of the true parameters.

    Returns:
        Levels and coverage, [L + 2] each, from (0, 0) to (1, 1).
    """
    denser = np.asarray(log_q_samples) > np.asarray(log_q_truth)[:, None]
    return _coverage(denser)


def tarp(
    samples: ArrayLike, truth: ArrayLike, references: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Share of true parameters inside balls around reference points that hold each share of the
    posterior's samples (Lemos et al., 2023).

    With references that do not depend on the observation it is blind to a posterior that ignores
    it. So give a function of each x, such as x itself or a point estimate of θ. Scale coordinates
    alike first: distances are Euclidean.

    Args:
        samples: [T, L, P].
        truth: [T, P].
        references: [T, P], one for each simulation.

    Returns:
        Levels (the α of the paper) and expected coverage, [L + 2] each, from (0, 0) to (1, 1).
    """
    samples, truth, references = map(np.asarray, (samples, truth, references))
    to_samples = np.linalg.norm(samples - references[:, None], axis=-1)
    to_truth = np.linalg.norm(truth - references, axis=-1)
    return _coverage(to_samples < to_truth[:, None])


def coverage_test(level: ArrayLike, coverage: ArrayLike, num: int) -> float:
    """P-value of the hypothesis that the coverage of `num` simulations is the level: the two-sided
    Kolmogorov-Smirnov test. As ranks are discrete it is conservative.
    """
    from scipy.stats import kstwo  # slow to import

    distance = np.max(np.abs(np.subtract(coverage, level)))
    return float(kstwo.sf(distance, num))


def importance_weights(log_target: ArrayLike, log_proposal: ArrayLike) -> np.ndarray:
    """Weights [..., N] of samples of a proposal that make them samples of a target, proportional to
    exp(log_target - log_proposal) and summing to 1 over the last axis; float64.

    Either density may lack its constant. With log p(θ) + log p(x | θ) for the target, samples of an
    approximate posterior become exact as their number grows.
    """
    log_weights = np.subtract(log_target, log_proposal, dtype=np.float64)
    weights = np.exp(log_weights - np.max(log_weights, axis=-1, keepdims=True))
    return weights / np.sum(weights, axis=-1, keepdims=True)


def ess(weights: ArrayLike) -> np.ndarray:
    """Effective sample size (Σ w)² / Σ w² [...] of weights [..., N], between 1 and N (Kish)."""
    weights = np.asarray(weights)
    return np.sum(weights, axis=-1) ** 2 / np.sum(weights**2, axis=-1)


def _coverage(nearer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels and coverage from whether samples come before the truth, bool [T, L].

    The region of level j / (L + 1) holds the truth if fewer than j samples come before it, which
    has exactly this probability.
    """
    num, size = nearer.shape
    counts = np.bincount(nearer.sum(axis=1), minlength=size + 1)
    level = np.arange(size + 2) / (size + 1)
    return level, np.concatenate([[0.0], np.cumsum(counts) / num])
