"""The baseline of the digits: expectation-maximisation does what it says."""

import itertools

import numpy as np
import pytest

from experiments.digits_vae.mixture_of_bernoullis import fit, log_prob

pytestmark = pytest.mark.slow


def test_probabilities_sum_to_one():
    rng = np.random.default_rng(0)
    weights, probabilities = np.array([0.2, 0.5, 0.3]), rng.uniform(0.05, 0.95, (3, 6))
    everything = np.array(list(itertools.product((0.0, 1.0), repeat=6)))
    assert np.sum(np.exp(log_prob(everything, weights, probabilities))) == pytest.approx(1)


@pytest.mark.parametrize('smoothing', [0.01, 1.0])
def test_every_iteration_raises_the_objective(smoothing):
    x = (np.random.default_rng(0).random((200, 10)) < 0.3).astype(float)
    objective = fit(x, 5, smoothing, seed=0)[2]
    assert np.all(np.diff(objective) > -1e-9)
    assert objective[-1] > objective[0] + 1


def test_one_component_is_the_smoothed_mean():
    x = (np.random.default_rng(0).random((50, 4)) < 0.3).astype(float)
    weights, probabilities, _ = fit(x, 1, 2.0, seed=0)
    np.testing.assert_allclose(weights, 1)
    np.testing.assert_allclose(probabilities[0], (x.sum(0) + 2) / (len(x) + 4))


def test_two_clear_clusters_are_found():
    rng = np.random.default_rng(0)
    truth = np.array([[0.95] * 8, [0.05] * 8])
    which = rng.random(2000) < 0.25
    x = (rng.random((2000, 8)) < truth[which.astype(int)]).astype(float)
    weights, probabilities, _ = fit(x, 2, 0.1, seed=1)
    order = np.argsort(weights)
    np.testing.assert_allclose(weights[order], [0.25, 0.75], atol=0.03)
    np.testing.assert_allclose(probabilities[order], truth[::-1], atol=0.03)
