"""Simulators: against closed forms, quadrature, moments, and reference posteriors of sbibm."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.data import Simulations
from genjax.data.simulators import (
    SIR,
    SLCP,
    Dequantised,
    GaussianLinear,
    GaussianMixture,
    Rescaled,
    TwoMoons,
    observed,
)
from genjax.errors import UserError

pytestmark = pytest.mark.slow

KEY = jax.random.key(3)
REFERENCES = Path(os.environ.get('SBIBM_DATA', ''))


def rows(dataset, split='test'):
    source = dataset.source(split)
    found = source[np.arange(len(source))]
    return found['x'], found['context']


def same_distribution(a, b, level=1e-3):
    """Kolmogorov-Smirnov of each coordinate and of each sum and difference of two."""
    for first, second in np.ndindex(a.shape[1], a.shape[1]):
        sign = 1 if first <= second else -1
        one, two = (part[:, first] + sign * part[:, second] for part in (a, b))
        assert stats.ks_2samp(one, two).pvalue > level / a.shape[1] ** 2, (first, second)


def grid_mass(task, x, low, high, size):
    """Integral of the posterior's density over a box, on a grid of its midpoints."""
    axes = [
        lo + (np.arange(size) + 0.5) * (hi - lo) / size for lo, hi in zip(low, high, strict=True)
    ]
    theta = np.stack(np.meshgrid(*axes, indexing='ij'), -1).reshape(-1, 2).astype(np.float32)
    density = jnp.exp(task.posterior_log_prob(theta, x))
    return float(jnp.sum(density)) * np.prod(np.subtract(high, low)) / size**2


def test_the_linear_task_is_conjugate():
    task = GaussianLinear()
    theta, x = rows(Simulations(task, 1))
    assert np.var(theta) == pytest.approx(0.1, rel=0.03)
    assert np.var(x - theta) == pytest.approx(0.1, rel=0.03)
    assert np.var(theta - x / 2) == pytest.approx(0.05, rel=0.03)  # that of θ given x
    joint = stats.multivariate_normal(np.zeros(20), np.kron([[0.1, 0.1], [0.1, 0.2]], np.eye(10)))
    both = joint.logpdf(np.concatenate([theta, x], axis=1))
    found = task.prior_log_prob(theta) + task.log_likelihood(theta, x)
    np.testing.assert_allclose(found, both, rtol=1e-4, atol=1e-3)
    evidence = stats.norm(0, np.sqrt(0.2)).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(task.posterior_log_prob(theta, x), both - evidence, atol=2e-3)
    sample = task.posterior_sample(KEY, x[0], 4000)
    same_distribution((sample - x[0] / 2)[:, :2], np.sqrt(0.05) * _normal(4000, 2))


def _normal(*shape):
    return np.random.RandomState(0).standard_normal(shape)


@pytest.mark.parametrize('x', [[1.0, -2.0], [9.95, 0.0], [-10.3, 9.0]])
def test_the_posterior_of_the_mixture_is_normalised_and_its_samples_are_of_it(x):
    task, x = GaussianMixture(), np.array(x, np.float32)
    low, high = np.maximum(x - 4, -10), np.minimum(x + 4, 10)
    assert grid_mass(task, x, low, high, 800) == pytest.approx(1, abs=3e-3)
    _samples_have_the_density(task, x, low, high)


@pytest.mark.parametrize('x', [[0.0, 0.0], [-0.6, 0.3], [0.28, 0.1], [-1.04, 0.0], [-0.5, 0.68]])
def test_the_posterior_of_two_moons_is_normalised_and_its_samples_are_of_it(x):
    """Also where the bounds of the prior, or u = 0, cut the crescents."""
    task, x = TwoMoons(), np.array(x, np.float32)
    assert grid_mass(task, x, [-1, -1], [1, 1], 1200) == pytest.approx(1, abs=0.01)
    _samples_have_the_density(task, x, [-1, -1], [1, 1], 100)


def _samples_have_the_density(task, x, low, high, size=40, num=4000, fine=12):
    """Chi-squared test of counts of samples in cells against masses of the cells."""
    theta = np.asarray(task.posterior_sample(KEY, x, num))
    assert np.all(np.isfinite(task.prior_log_prob(theta)))
    edges = [np.linspace(lo, hi, size + 1) for lo, hi in zip(low, high, strict=True)]
    counts = np.histogram2d(*theta.T, bins=edges)[0].ravel()
    axes = [
        lo + (np.arange(fine * size) + 0.5) * (hi - lo) / (fine * size)
        for lo, hi in zip(low, high, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing='ij'), -1).reshape(-1, 2).astype(np.float32)
    density = np.exp(task.posterior_log_prob(points, x))
    masses = density.reshape(size, fine, size, fine).sum(axis=(1, 3), dtype=np.float64).ravel()
    masses /= masses.sum()
    often = masses > 5 / num
    observed, expected = (
        [*part[often], num - part[often].sum()] for part in (counts, num * masses)
    )
    assert often.sum() > 20
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_an_impossible_observation_has_no_samples():
    with pytest.raises(UserError, match=r'hardly any θ of the prior gives x=\[3.0, 0.0\]'):
        TwoMoons().posterior_sample(KEY, [3.0, 0.0], 10)


def test_simulated_moons_have_the_moments_of_a_crescent():
    task, theta = TwoMoons(), np.tile(np.array([[0.3, -0.5]], np.float32), (20_000, 1))
    x = np.asarray(task.simulate(KEY, theta), np.float64)
    u, v = -0.2 / np.sqrt(2), -0.8 / np.sqrt(2)
    mean = [0.25 + 0.2 / np.pi - abs(u), v]  # E cos a = 2/π
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.002)
    squares = (0.1**2 + 0.01**2) / 2
    np.testing.assert_allclose(x.var(axis=0), [squares - (0.2 / np.pi) ** 2, squares], rtol=0.03)


def test_the_likelihood_of_slcp_is_scipys_and_its_points_follow_it():
    task, theta = SLCP(), np.array([[0.7, -1.5, -1.2, 0.8, -0.9]], np.float32)
    x = np.asarray(task.simulate(KEY, np.repeat(theta, 5000, axis=0)), np.float64)
    scale, rho = theta[0, 2:4] ** 2, np.tanh(theta[0, 4])
    covariance = np.outer(scale, scale) * [[1, rho], [rho, 1]]
    points = x.reshape(-1, 2)
    np.testing.assert_allclose(points.mean(axis=0), theta[0, :2], atol=0.05)
    np.testing.assert_allclose(np.cov(points.T), covariance, rtol=0.05)
    truth = stats.multivariate_normal(theta[0, :2], covariance).logpdf(points)
    found = task.log_likelihood(theta, x[:100].astype(np.float32))
    np.testing.assert_allclose(found, truth.reshape(-1, 4).sum(axis=1)[:100], rtol=1e-4)


@pytest.mark.parametrize('name', ['two_moons', 'gaussian_mixture'])
def test_exact_posteriors_are_those_of_sbibm(name):
    task = {'two_moons': TwoMoons(), 'gaussian_mixture': GaussianMixture()}[name]
    file = _references(name)
    for number in range(1, 11):
        x, reference = file[f'obs_{number}'], file[f'ref_{number}']
        same_distribution(np.asarray(task.posterior_sample(KEY, x, len(reference))), reference)


def test_the_posterior_of_slcp_has_the_moments_of_sbibm():
    """By importance sampling from the prior: three of ten observations, those whose posterior is
    widest.
    """
    task, file = SLCP(), _references('slcp')
    theta = task.prior_sample(KEY, 2_000_000)
    likelihood = jax.jit(task.log_likelihood)
    judged = 0
    for number in range(1, 11):
        log_weight = np.asarray(likelihood(theta, file[f'obs_{number}'].astype(np.float32)))
        weight = np.exp(log_weight - log_weight.max(), dtype=np.float64)
        weight /= weight.sum()
        effective = 1 / np.sum(weight**2)
        if effective < 200:
            continue
        judged += 1
        for power in (1, 2):
            values, wanted = (
                np.asarray(t, np.float64) ** power for t in (theta, file[f'ref_{number}'])
            )
            mean = weight @ values
            deviation = np.sqrt(weight @ (values - mean) ** 2)
            error = (mean - wanted.mean(axis=0)) / deviation
            assert np.all(np.abs(error) < 4.5 * np.sqrt(1 / effective + 1e-4)), (number, error)
    assert judged >= 3


def _references(name):
    path = REFERENCES / f'sbibm_{name}.npz'
    if not path.exists():
        pytest.skip('set SBIBM_DATA to a folder of sbibm_<task>.npz, the reference posteriors')
    return np.load(path)


def test_simulations_swap_and_do_not_depend_on_their_number():
    task = TwoMoons()
    posterior = Simulations(task, 50)
    assert (posterior.event_shape, posterior.context_shape) == ((2,), (2,))
    likelihood = Simulations(GaussianLinear(), 50, modelled='observations')
    theta, x = rows(Simulations(GaussianLinear(), 50))
    np.testing.assert_array_equal(rows(likelihood)[0], x)
    np.testing.assert_array_equal(rows(likelihood)[1], theta)
    np.testing.assert_allclose(
        likelihood.log_prob(x, theta), GaussianLinear().log_likelihood(theta, x)
    )
    few, many = rows(posterior, 'train'), rows(Simulations(task, 80), 'train')
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b[:50])
        assert len(np.unique(b, axis=0)) == 80
    others = [rows(Simulations(task, 50, seed=1), 'train'), rows(posterior, 'validation')]
    assert all(not np.isin(few[0], other[0]).any() for other in others)


def test_observations_on_another_scale_are_those_of_the_task():
    task, theta = GaussianMixture(), GaussianMixture().prior_sample(KEY, 500)
    x = np.asarray(task.simulate(KEY, theta))
    scaled = Rescaled(task, 'arcsinh')
    np.testing.assert_allclose(scaled.simulate(KEY, theta), np.arcsinh(x), rtol=1e-5)
    np.testing.assert_array_equal(scaled.prior_log_prob(theta), task.prior_log_prob(theta))
    both = Rescaled(Dequantised(task), 'arcsinh')
    assert (both.num_parameters, both.observation_shape) == (2, (2,))
    noisy = np.asarray(Dequantised(task).simulate(KEY, theta))
    noise = noisy - task.simulate(jax.random.split(KEY)[0], theta)
    assert stats.kstest(np.ravel(noise), 'uniform').pvalue > 1e-3
    np.testing.assert_allclose(both.simulate(KEY, theta), np.arcsinh(noisy), rtol=1e-5)
    np.testing.assert_allclose(observed(both, x), np.arcsinh(x + 0.5), rtol=1e-5)
    np.testing.assert_array_equal(observed(task, x), x)


def test_mistakes():
    with pytest.raises(UserError, match=r"Rescaled.scale='logp1' is not one of .*log1p"):
        Rescaled(SIR(), 'logp1')
    with pytest.raises(UserError, match=r"modelled='observation' is not one of .*observations"):
        Simulations(TwoMoons(), 10, modelled='observation')
    with pytest.raises(UserError, match='num must be at least 1, not 0'):
        Simulations(TwoMoons(), 0)
    with pytest.raises(UserError, match="no split 'trian'"):
        Simulations(TwoMoons(), 10).source('trian')
    with pytest.raises(UserError, match=r'SLCP has no exact density: it lacks posterior_log_prob'):
        Simulations(SLCP(), 10).log_prob(np.zeros((1, 5)), np.zeros((1, 8)))
