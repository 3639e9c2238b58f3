"""Posterior samples by likelihoods that are known: the sampler against exact posteriors."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.data import Chain, Standardise
from genjax.data.simulators import GaussianLinear, GaussianMixture, TwoMoons
from genjax.errors import UserError
from genjax.evaluation.c2st import c2st
from genjax.inference import likelihood_posterior
from genjax.models.base import LogProb

pytestmark = pytest.mark.slow

KEY, IDENTITY = jax.random.key(5), Chain()


@dataclass(frozen=True)
class Exact:
    """A model of observations that is the simulator itself; x in units of `preprocess`."""

    task: Any
    preprocess: Chain = IDENTITY

    @property
    def context_shape(self):
        return (self.task.num_parameters,)

    def log_prob(self, variables, x, key, *, context):
        x = self.preprocess.inverse(x)
        return LogProb(self.task.log_likelihood(context, x), 'exact', density=True)


SCALED = Chain((Standardise(0.3, 2.0),))
CASES = [
    (GaussianLinear(), np.linspace(-1, 1, 10), SCALED),
    (GaussianMixture(), [9.95, 0.0], IDENTITY),  # at a bound of the prior
    (TwoMoons(), [0.0, 0.0], IDENTITY),
    (TwoMoons(), [-0.5, 0.68], IDENTITY),  # a bound cuts the crescents
]


@pytest.mark.parametrize(
    ('task', 'x', 'preprocess'), CASES, ids=['linear', 'mixture', 'moons', 'cut moons']
)
def test_samples_are_of_the_exact_posterior(task, x, preprocess):
    x, num = np.asarray(x, np.float32), 1500
    model = Exact(task, preprocess)
    found = likelihood_posterior(model, {}, x, task, num, preprocess=preprocess)
    assert found.shape == (num, task.num_parameters)
    assert np.all(np.isfinite(task.prior_log_prob(found)))
    exact = np.asarray(task.posterior_sample(KEY, x, num))
    assert c2st(exact, found, hidden=(50,))[0] < 0.55
    assert len(np.unique(found, axis=0)) > 0.95 * num  # what was resampled has moved


def test_modes_that_are_apart_are_found_with_their_weights():
    """The two moons given x are u and -u, equally likely: the sampler starts from the prior."""
    x = np.array([-0.4, 0.1], np.float32)
    found = likelihood_posterior(Exact(TwoMoons()), {}, x, TwoMoons(), 1500, seed=1)
    share = np.mean(found.sum(axis=1) > 0)
    assert abs(share - 0.5) < 0.06


def test_a_skewed_posterior_has_the_moments_of_quadrature():
    """A rate θ with an exponential prior on [0, 2], and a count."""

    @dataclass(frozen=True)
    class Counts:
        num_parameters = 1

        def prior_sample(self, key, num):
            return -jnp.log1p(-jax.random.uniform(key, (num, 1)) * (1 - jnp.exp(-2.0)))

        def prior_log_prob(self, theta):
            inside = (theta[:, 0] > 0) & (theta[:, 0] < 2)
            return jnp.where(inside, -theta[:, 0], -jnp.inf)

        def log_likelihood(self, theta, x):
            return x[:, 0] * jnp.log(theta[:, 0]) - theta[:, 0]

    found = likelihood_posterior(
        Exact(Counts()), {}, np.array([3.0], np.float32), Counts(), 4000, num_moves=20
    )
    grid = np.linspace(0, 2, 20_001)
    density = np.cumsum(grid**3 * np.exp(-2 * grid))
    cdf = lambda theta: np.interp(theta, grid, density / density[-1])  # noqa: E731
    # Particles share ancestors: fewer than 4,000 are independent.
    assert stats.kstest(found[:, 0], cdf).statistic < 0.04


def test_mistakes():
    task, x = TwoMoons(), np.array([0.0, 0.0], np.float32)
    with pytest.raises(UserError, match='num=0 must be at least 1'):
        likelihood_posterior(Exact(task), {}, x, task, 0)
    with pytest.raises(UserError, match=r'a object has no log_prob\(\)'):
        likelihood_posterior(object(), {}, x, task, 10)
    with pytest.raises(UserError, match='hardly any parameters of the prior have a likelihood'):
        likelihood_posterior(Exact(task), {}, np.array([-3.0, 0.0], np.float32), task, 100)
    with pytest.raises(UserError, match='a context of 1 samples is numbers'):
        likelihood_posterior(Exact(GaussianLinear()), {}, x, task, 10)
