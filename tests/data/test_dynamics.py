"""Simulators of differential equations: against scipy's solver and distributions."""

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from genjax.data import Simulations
from genjax.data.simulators import SIR, LotkaVolterra
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(4)


def solved(slope, start, times):
    found = integrate.solve_ivp(
        slope, (0, times[-1]), start, t_eval=times, rtol=1e-9, atol=1e-12, method='LSODA'
    )
    return found.y


@pytest.fixture(scope='module')
def epidemics():
    theta = np.asarray(SIR().prior_sample(KEY, 40), np.float64)
    shares = [
        solved(
            lambda t, y, b=b, g=g: [-b * y[0] * y[1], b * y[0] * y[1] - g * y[1]],
            [1 - 1e-6, 1e-6],
            np.arange(10) * 17.0,
        )[1]
        for b, g in theta
    ]
    return theta, np.array(shares)


def test_shares_of_infected_are_scipys(epidemics):
    theta, shares = epidemics
    found = SIR()._share(theta.astype(np.float32))
    np.testing.assert_allclose(found, shares, rtol=2e-3, atol=1e-7)
    assert shares.max() > 0.3


def test_infected_among_the_examined_are_binomial(epidemics):
    theta, shares = epidemics
    many = np.repeat(theta[:1], 4000, axis=0).astype(np.float32)
    x = np.asarray(SIR().simulate(KEY, many), np.float64)
    assert np.all((x == np.round(x)) & (x >= 0) & (x <= 1000))
    deviation = np.sqrt(1000 * shares[0] * (1 - shares[0]))
    error = (x.mean(axis=0) - 1000 * shares[0]) / np.maximum(deviation, 1e-2) * np.sqrt(4000)
    assert np.all(np.abs(error) < 5)
    wide = deviation > 1
    np.testing.assert_allclose(x.std(axis=0)[wide], deviation[wide], rtol=0.06)
    found = SIR().log_likelihood(many[:50], x[:50].astype(np.float32))
    wanted = stats.binom(1000, shares[0]).logpmf(x[:50]).sum(axis=1)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=0.02)


def test_predators_and_prey_are_scipys():
    task = LotkaVolterra()
    theta = np.asarray(task.prior_sample(KEY, 100), np.float64)
    wanted = np.array(
        [
            solved(
                lambda t, y, a=a, b=b, c=c, d=d: [a - b * np.exp(y[1]), d * np.exp(y[0]) - c],
                [np.log(30), 0.0],
                np.arange(10) * 2.1,
            ).ravel()
            for a, b, c, d in theta
        ]
    )
    wanted = np.clip(wanted, np.log(1e-10), np.log(1e4))
    found = np.asarray(task._log_numbers(theta.astype(np.float32)))
    np.testing.assert_allclose(found, wanted, atol=0.01)  # the noise is ten times this
    x = np.asarray(task.simulate(KEY, np.repeat(theta[:1], 4000, axis=0).astype(np.float32)))
    np.testing.assert_allclose(np.log(x).mean(axis=0), wanted[0], atol=0.01)
    np.testing.assert_allclose(np.log(x).std(axis=0), 0.1, rtol=0.05)
    log_p = task.log_likelihood(theta[:1].astype(np.float32), x[:50])
    exact = stats.lognorm(0.1, scale=np.exp(found[0])).logpdf(x[:50]).sum(axis=1)
    np.testing.assert_allclose(log_p, exact, atol=0.01)


@pytest.mark.parametrize(
    ('task', 'means', 'scales'),
    [
        (SIR(), np.log([0.4, 0.125]), [0.5, 0.2]),
        full(LotkaVolterra(), [-0.125, -3, -0.125, -3], [0.5] * 4),
    ],
    ids=['sir', 'lotka-volterra'],
)
def test_priors_are_log_normal_and_all_simulations_finite(task, means, scales):
    data = Simulations(task, 1)
    theta, x = (data.source('test')[np.arange(2000)][name] for name in ('x', 'context'))
    exact = stats.lognorm(scales, scale=np.exp(means))
    np.testing.assert_allclose(
        task.prior_log_prob(theta), exact.logpdf(theta).sum(axis=1), rtol=1e-4, atol=1e-3
    )
    for column, mean, scale in zip(theta.T, means, scales, strict=True):
        assert stats.kstest(np.log(column), stats.norm(mean, scale).cdf).pvalue > 0.001
    assert np.all(np.isfinite(x)) and x.shape == (2000, *task.observation_shape)
    assert task.prior_log_prob(-theta[:1]) == -np.inf
