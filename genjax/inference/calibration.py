"""Tests of the calibration of posterior samples, on T draws (θ, x) from the joint distribution.

Given x, the true θ and L samples of a calibrated posterior are exchangeable, so that the rank of
the truth among the samples, by any number computed of θ and x, is uniform on 0..L. The tests below
differ in this number, and in what they can miss: a posterior that ignores x, such as the prior, has
uniform ranks by every number that does not depend on x.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results
from genjax.evaluation.copying import nearest
from genjax.inference import simulated
from genjax.models.base import Variables
from genjax.protocols import protocol

_MOST_BINS, _LEAST_EXPECTED = 20, 5
_NEIGHBOURS = 10_000  # training simulations that references are taken from


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


@dataclass(frozen=True)
class Calibration(Evaluator):
    """Tests of the calibration of a model of `Simulations`, NPE or NLE, on simulations of a split.

    Gives p-values of the hypothesis that the posterior is calibrated: 'sbc_p' (`rank_test`),
    'coverage_p' and 'tarp_p' (`coverage_test` of `expected_coverage` and `tarp`, whose reference is
    the parameters of the training simulation with the nearest x); 'coverage_90', the share of true
    parameters inside the region of highest density that holds 90 %; and 'protocol'. Of a model of
    parameters also 'information', the mean of log q(θ | x) - log p(θ) of the true parameters in
    nats, its 'stderr', and 'leakage', the mean share of draws outside the prior. A calibrated
    posterior may still know little: the prior has an information of 0, the exact posterior the
    mutual information of θ and x, which is the most that any has.

    Attributes:
        num: simulations; fewer if the split has fewer.
        draws: posterior samples given each.
    """

    num: int = 200
    draws: int = 200

    def __post_init__(self):
        if self.num < 10 or self.draws < 2:
            raise UserError('Calibration needs num >= 10, and draws >= 2')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the data are no simulations."""
        simulated.check(self, data)
        with jax.transfer_guard('allow'):
            return self._results(model, variables, data)

    def _results(self, model: Any, variables: Variables, data: EvaluationData) -> Results:
        truth, x = _pairs(data, data.split, self.num)
        seeds = np.random.SeedSequence(data.seed).generate_state(len(x))
        found = [
            simulated.samples(
                model, variables, data.dataset, data.preprocess, each, self.draws, int(seed)
            )
            for each, seed in zip(x, seeds, strict=True)
        ]
        samples = np.stack([each.samples for each in found])
        flat = samples.reshape(-1, samples.shape[-1]), np.repeat(x, self.draws, axis=0)
        log_q = simulated.log_density(model, variables, data, *flat).reshape(len(x), -1)
        log_q_truth = simulated.log_density(model, variables, data, truth, x)
        level, coverage = expected_coverage(log_q, log_q_truth)
        results = {
            'sbc_p': rank_test(sbc_ranks(samples, truth), self.draws),
            'coverage_p': coverage_test(level, coverage, len(x)),
            'tarp_p': coverage_test(*self._tarp(data, samples, truth, x), len(x)),
            'coverage_90': float(np.interp(0.9, level, coverage)),
        }
        if data.dataset.modelled == 'parameters':
            leakage = np.array([each.leakage for each in found])
            prior = np.asarray(data.dataset.task.prior_log_prob(truth))
            gain = log_q_truth - np.log1p(-leakage) - prior  # of the density without the leaked
            results |= {
                'information': float(np.mean(gain)),
                'stderr': float(np.std(gain, ddof=1) / math.sqrt(len(gain))),
                'leakage': float(np.mean(leakage)),
            }
        protocol_ = protocol(split=data.split, simulations=len(x), draws=self.draws, seed=data.seed)
        return {**results, 'protocol': protocol_}

    def _tarp(
        self, data: EvaluationData, samples: np.ndarray, truth: np.ndarray, x: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Levels and coverage; parameters and observations in units of their deviations."""
        theta, known = _pairs(data, 'train', _NEIGHBOURS)
        scale, unit = (np.std(part, axis=0) for part in (theta, known))
        unit = np.where(unit > 0, unit, 1.0)
        _, index = nearest(x / unit, known / unit)
        return tarp(samples / scale, truth / scale, theta[index] / scale)


def _pairs(data: EvaluationData, split: str, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters [N, P] and observations [N, *X] of a fixed random subset of a split."""
    source = data.dataset.source(split)
    rows = source[random_subset(len(source), num)]
    names = ('x', 'context') if data.dataset.modelled == 'parameters' else ('context', 'x')
    return tuple(rows[name] for name in names)


def _coverage(nearer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels and coverage from whether samples come before the truth, bool [T, L].

    The region of level j / (L + 1) holds the truth if fewer than j samples come before it, which
    has exactly this probability.
    """
    num, size = nearer.shape
    counts = np.bincount(nearer.sum(axis=1), minlength=size + 1)
    level = np.arange(size + 2) / (size + 1)
    return level, np.concatenate([[0.0], np.cumsum(counts) / num])
