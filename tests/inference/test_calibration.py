"""Tests of calibration on a conjugate Gaussian posterior, and on ones that are planted to fail."""

import numpy as np
import pytest
from scipy import stats

from genjax.inference import (
    coverage_test,
    ess,
    expected_coverage,
    importance_weights,
    rank_test,
    sbc_ranks,
    tarp,
)

NUM, DRAWS, SIZE = 500, 99, 3
NOISE = 0.5  # x ~ N(θ, NOISE²), θ ~ N(0, 1)
SHRINK, DEVIATION = 1 / (1 + NOISE**2), NOISE / np.sqrt(1 + NOISE**2)


def world(seed=0):
    random = np.random.RandomState(seed)
    truth = random.standard_normal((NUM, SIZE))
    return truth, truth + NOISE * random.standard_normal((NUM, SIZE)), random


def p_values(kind, seed=0):
    """P-values of each test: of ranks, coverage, and TARP with references of x and without."""
    truth, x, random = world(seed)
    mean, deviation = {
        'exact': (SHRINK * x, DEVIATION),
        'narrow': (SHRINK * x, 0.5 * DEVIATION),
        'shifted': (SHRINK * x + 0.5 * DEVIATION, DEVIATION),
        'prior': (0 * x, 1.0),
    }[kind]
    samples = mean[:, None] + deviation * random.standard_normal((NUM, DRAWS, SIZE))

    def log_q(theta):
        where = mean if theta.ndim == 2 else mean[:, None]
        return stats.norm(where, deviation).logpdf(theta).sum(axis=-1)

    def covers(curve):
        return coverage_test(*curve, NUM)

    return {
        'ranks': rank_test(sbc_ranks(samples, truth), DRAWS),
        'coverage': covers(expected_coverage(log_q(samples), log_q(truth))),
        'tarp random': covers(tarp(samples, truth, random.standard_normal((NUM, SIZE)))),
        'tarp of x': covers(tarp(samples, truth, x)),
    }


@pytest.mark.parametrize('seed', range(5))
def test_the_exact_posterior_passes_all(seed):
    assert min(p_values('exact', seed).values()) > 0.01


def test_a_narrow_posterior_is_caught_by_all():
    found = p_values('narrow')
    assert max(found['ranks'], found['coverage'], found['tarp of x']) < 1e-10
    assert found['tarp random'] < 1e-3


def test_a_shifted_posterior_is_caught():
    found = p_values('shifted')
    assert found['ranks'] < 1e-10
    assert found['coverage'] < 1e-3


@pytest.mark.parametrize('seed', range(3))
def test_the_prior_is_caught_only_by_references_that_depend_on_x(seed):
    found = p_values('prior', seed)
    assert found.pop('tarp of x') < 1e-50
    assert min(found.values()) > 0.01


def test_p_values_of_calibrated_ranks_are_uniform_or_larger():
    random = np.random.RandomState(1)
    found = [rank_test(random.randint(0, 51, (200, 2)), 50) for _ in range(400)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(found) < level) < level + 3 * np.sqrt(level / 400)
    assert np.mean(np.array(found) < 0.2) > 0.1


def test_ranks_and_curves_of_a_case_counted_by_hand():
    samples = np.array([[[0.0], [1.0], [2.0]], [[0.0], [1.0], [2.0]]])
    truth = np.array([[1.5], [-1.0]])
    np.testing.assert_array_equal(sbc_ranks(samples, truth), [[2], [0]])
    # Distances to 2: of samples 2, 1, 0; of the truths .5 and 3, so 1 and 3 samples are nearer.
    level, coverage = tarp(samples, truth, np.full((2, 1), 2.0))
    np.testing.assert_array_equal(level, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(coverage, [0, 0, 0.5, 0.5, 1])
    found = expected_coverage([[1.0, 2.0, 3.0]], [2.5])
    np.testing.assert_array_equal(found[1], [0, 0, 1, 1, 1])


def test_levels_of_a_wide_posterior_are_those_of_the_closed_form():
    """A normal of twice the deviation: its central region of level a holds 2 Φ(2 z_a) - 1."""
    random = np.random.RandomState(0)
    truth, samples = random.standard_normal((20_000, 1)), 2 * random.standard_normal((20_000, 99))
    level, coverage = expected_coverage(-(samples**2), -(truth[:, 0] ** 2))
    exact = 2 * stats.norm.cdf(2 * stats.norm.ppf((1 + level) / 2)) - 1
    np.testing.assert_allclose(coverage, exact, atol=0.02)


def test_importance_weights_move_a_proposal_to_its_target():
    random = np.random.RandomState(0)
    proposal, target = stats.norm(0.3, 1.5), stats.norm(0, 1)
    x = proposal.rvs(200_000, random_state=random)
    weights = importance_weights(target.logpdf(x) + 7000, proposal.logpdf(x))
    assert weights.sum() == pytest.approx(1)
    assert weights @ x == pytest.approx(0, abs=0.01)
    assert weights @ x**2 == pytest.approx(1, abs=0.02)
    # N / E[w²] with w = target / proposal, by quadrature.
    grid = np.linspace(-10, 10, 100_001)
    square = np.trapezoid(target.pdf(grid) ** 2 / proposal.pdf(grid), grid)
    assert ess(weights) == pytest.approx(200_000 / square, rel=0.01)
    np.testing.assert_allclose(ess([[1, 1, 1, 1], [0, 2, 0, 0]]), [4, 1])
