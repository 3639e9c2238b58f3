"""Simulators against sbibm's own numbers: its observations, and its reference posteriors."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.data.simulators import SIR, SLCP, LotkaVolterra
from genjax.inference import likelihood_posterior
from tests.inference.test_likelihood import Exact

pytestmark = pytest.mark.slow

FILE = np.load(Path(__file__).parents[1] / 'fixtures' / 'sbibm.npz')
KEY = jax.random.key(0)


def of(task, name):
    return FILE[f'{task}_{name}']


def test_observed_epidemics_are_binomial_on_the_days_of_the_benchmark():
    """With other days the errors are hundreds of deviations."""
    share = np.asarray(SIR()._share(of('sir', 'true')), np.float64)
    x = of('sir', 'obs')
    p = stats.binom(1000, share)
    # A cumulative probability between those of x - 1 and x: uniform.
    middle = p.cdf(x) - p.pmf(x) * np.random.default_rng(0).uniform(size=x.shape)
    assert stats.kstest(middle.ravel(), 'uniform').pvalue > 0.01
    assert np.all(np.abs(x - 1000 * share) < 5 * np.sqrt(1000 * share * (1 - share)) + 2)


def test_observed_prey_and_predators_have_log_normal_noise():
    mean = np.asarray(LotkaVolterra()._log_numbers(of('lotka_volterra', 'true')))
    noise = (np.log(of('lotka_volterra', 'obs')) - mean) / 0.1
    assert stats.kstest(noise.ravel(), 'norm').pvalue > 0.01
    assert np.abs(noise).max() < 4.5


def test_observed_points_have_the_mean_and_covariance_of_their_parameters():
    theta, points = of('slcp', 'true').astype(np.float64), of('slcp', 'obs').reshape(10, 4, 2)
    scale, rho = theta[:, 2:4] ** 2, np.tanh(theta[:, 4])
    first, second = np.moveaxis((points - theta[:, None, :2]) / scale[:, None], -1, 0)
    second = (second - rho[:, None] * first) / np.sqrt(1 - rho[:, None] ** 2)
    for white in (first, second):
        assert stats.kstest(white.ravel(), 'norm').pvalue > 0.01


@pytest.mark.parametrize(('name', 'task'), [('sir', SIR()), ('lotka_volterra', LotkaVolterra())])
def test_posteriors_of_dynamics_are_those_of_the_benchmark(name, task):
    """By importance sampling of log θ, from a normal with the benchmark's moments, a bit wider."""
    num, size = 500, task.num_parameters

    @jax.jit
    def log_target(log_theta, x):
        theta = jnp.exp(log_theta)
        prior = task.prior_log_prob(theta) + jnp.sum(log_theta, axis=1)
        return prior + task.log_likelihood(theta, jnp.broadcast_to(x, (num, *x.shape)))

    random = np.random.default_rng(0)
    for number in range(4):
        mean, covariance = of(name, 'mean')[number], of(name, 'covariance')[number]
        proposal = stats.multivariate_t(mean, 1.2 * covariance, df=10, seed=random)
        log_theta = proposal.rvs(num)
        log_weight = log_target(log_theta.astype(np.float32), of(name, 'obs')[number])
        weight = np.asarray(log_weight, np.float64) - proposal.logpdf(log_theta)
        weight = np.exp(weight - weight.max())
        weight /= weight.sum()
        effective = 1 / np.sum(weight**2)
        assert effective > 100, number
        error = weight @ log_theta - mean
        deviation = np.sqrt(np.diag(covariance))
        assert np.all(np.abs(error) < 5 * deviation / np.sqrt(effective)), number
        spread = np.sqrt(weight @ (log_theta - mean) ** 2)
        np.testing.assert_allclose(spread, deviation, rtol=5 / np.sqrt(effective))
        assert size == len(mean)


@pytest.mark.full
def test_posteriors_of_slcp_are_those_of_the_benchmark():
    """By the sequential sampler and the exact likelihood. The signs of two parameters do not matter
    to it, and the weights of these four modes are noisy: they are left out.
    """

    def folded(theta):
        return np.concatenate([theta[:, :2], np.abs(theta[:, 2:4]), theta[:, 4:]], axis=1)

    for number in (1, 3):
        x, reference = of('slcp', 'obs')[number], of('slcp', 'samples')[number]
        found = likelihood_posterior(Exact(SLCP()), {}, x, SLCP(), 2000)
        for a, b in zip(folded(found).T, folded(reference).T, strict=True):
            assert stats.ks_2samp(a, b).pvalue > 2e-3, number
