"""Bayes' rule and priors that have moved, on two Gaussians of mean -1 and 1."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from genjax.models import adapt_prior, class_posterior

EVEN = np.log([0.5, 0.5])


def world(num, second=0.2):
    """x [N] and classes [N], the second with this probability; log p(x | class) [N, 2]."""
    random = np.random.RandomState(0)
    label = (random.uniform(size=num) < second).astype(int)
    x = 2 * label - 1 + random.standard_normal(num)
    return x, label, norm.logpdf(x[:, None], [-1, 1])


def test_the_posterior_is_that_of_the_closed_form():
    x, _, log_px_y = world(1000)
    for temperature in (1.0, 5.0):
        # The log odds of the classes are 2 x, tempered, plus those of the prior.
        odds = 2 * x / temperature + np.log(0.3 / 0.7)
        found = class_posterior(log_px_y, np.log([0.7, 0.3]), temperature)
        np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-odds)), rtol=1e-4)
    shifted = class_posterior(log_px_y - 1e3 * np.arange(1000)[:, None] % 7, EVEN)
    np.testing.assert_allclose(shifted, class_posterior(log_px_y, EVEN), atol=1e-3)


def test_em_finds_a_prior_that_has_moved():
    _, label, log_px_y = world(20_000)
    prior = np.exp(adapt_prior(log_px_y, EVEN, 200))
    likelihood = np.exp(log_px_y)
    best = minimize_scalar(
        lambda p: -np.sum(np.log(likelihood @ [1 - p, p])), bounds=(0, 1), method='bounded'
    )
    assert prior[1] == pytest.approx(best.x, abs=1e-4)
    # The information of an example on the prior is E[(p(x | 1) - p(x | 0))² / p(x)²].
    slope = (likelihood[:, 1] - likelihood[:, 0]) / (likelihood @ [0.8, 0.2])
    assert abs(prior[1] - 0.2) < 3 / np.sqrt(np.sum(slope**2))
    assert prior.sum() == pytest.approx(1, abs=1e-5)

    def error(log_prior):
        return np.mean(np.argmax(class_posterior(log_px_y, log_prior), 1) != label)

    threshold = np.log(0.8 / 0.2) / 2
    bayes = 0.8 * norm.sf(threshold + 1) + 0.2 * norm.cdf(threshold - 1)
    sampling = 3 * np.sqrt(bayes / 20_000)
    assert abs(error(jnp.log(prior)) - bayes) < sampling
    assert abs(error(EVEN) - norm.cdf(-1)) < sampling and bayes < 0.12 < 0.15 < norm.cdf(-1)


def test_an_impossible_class_stays_so_and_no_step_changes_nothing():
    _, _, log_px_y = world(100)
    certain = jnp.array([0.0, -jnp.inf])
    np.testing.assert_array_equal(adapt_prior(log_px_y, certain, 3), certain)
    np.testing.assert_allclose(adapt_prior(log_px_y, EVEN, 0), EVEN, rtol=1e-6)
