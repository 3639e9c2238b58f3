"""Posterior samples of models whose density given the observation is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.data import Chain, Scale
from genjax.data.simulators.base import box_log_prob
from genjax.errors import UserError
from genjax.inference import posterior_samples
from genjax.models import Flow
from genjax.models.flow import Autoregressive
from genjax.networks import MaskedMLP
from genjax.sampling.draw import chunk_size

pytestmark = pytest.mark.slow

FLOW = Flow(Autoregressive(MaskedMLP(())), (2,), context_shape=(3,))
X = np.array([0.5, -1.0, 0.2], np.float32)
KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def linear():
    """Variables of the flow, and the mean and covariance of θ given X that they are.

    Without hidden layers z is linear in (θ, x) where no log-scale depends on them; so θ given x is
    normal.
    """
    batch = {'x': jnp.zeros((2, 2)), 'context': jnp.zeros((2, 3))}
    leaves, structure = jax.tree.flatten(FLOW.init(KEY, batch))
    random = np.random.RandomState(0)
    bias, kernel = (leaf + 0.3 * random.standard_normal(leaf.shape) for leaf in leaves)
    kernel = kernel.at[:, ::2].set(0)  # log-scale and shift in turn
    variables = structure.unflatten([bias, kernel])
    z = jnp.zeros((1, 2))
    decode = lambda z: FLOW.decode(variables, z, KEY, context=X[None])[0]  # noqa: E731
    mean, jacobian = decode(z), jax.jacfwd(decode)(z)[:, 0]
    return variables, np.asarray(mean, np.float64), np.asarray(jacobian @ jacobian.T, np.float64)


def test_samples_are_of_the_density_given_the_observation(linear):
    variables, mean, covariance = linear
    found = posterior_samples(FLOW, variables, X, lambda theta: jnp.zeros(len(theta)), 3000)
    assert found.leakage == 0 and found.samples.shape == (3000, 2)
    exact = stats.multivariate_normal(mean, covariance)
    theta = found.samples[:100]
    log_q = FLOW.log_prob(variables, theta, KEY, context=jnp.tile(X, (100, 1))).value
    np.testing.assert_allclose(log_q, exact.logpdf(theta), atol=1e-3)
    white = (found.samples - mean) @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    for column in (*white.T, white.sum(axis=1) / np.sqrt(2)):
        assert stats.kstest(column, 'norm').pvalue > 0.01


def test_leakage_is_rejected_and_its_share_is_that_of_the_closed_form(linear):
    variables, mean, covariance = linear
    bound = float(np.abs(mean).max() + 0.3)
    prior = lambda theta: box_log_prob(theta, bound)  # noqa: E731
    found = posterior_samples(FLOW, variables, X, prior, 3000)
    box = stats.multivariate_normal(mean, covariance).cdf([bound] * 2, lower_limit=[-bound] * 2)
    assert 0.2 < box < 0.8
    assert found.leakage == pytest.approx(1 - box, abs=0.02)
    assert np.all(np.abs(found.samples) <= bound)
    every = posterior_samples(FLOW, variables, X, lambda theta: jnp.zeros(len(theta)), 3000)
    inside = every.samples[np.all(np.abs(every.samples) <= bound, axis=1)]
    np.testing.assert_array_equal(found.samples[: len(inside)], inside)
    few = posterior_samples(FLOW, variables, X, prior, 100, batch_size=16)
    np.testing.assert_array_equal(few.samples, found.samples[:100])


def test_few_samples_take_few_draws(linear):
    sizes = []

    def prior(theta):
        sizes.append(len(theta))
        return jnp.zeros(len(theta))

    posterior_samples(FLOW, linear[0], X, prior, 10)
    assert sizes == [chunk_size(None)]


def test_preprocessing_is_inverted_before_the_prior(linear):
    variables, *_ = linear
    scale = Chain((Scale(-1.0, 1.0),))
    plain = posterior_samples(FLOW, variables, X, lambda theta: jnp.zeros(len(theta)), 50)
    scaled = posterior_samples(
        FLOW, variables, X, lambda theta: jnp.zeros(len(theta)), 50, preprocess=scale
    )
    np.testing.assert_allclose(scaled.samples, scale.inverse(plain.samples), rtol=1e-6)


def test_mistakes(linear):
    variables, *_ = linear
    with pytest.raises(UserError, match='only 0 of 1000 draws given this observation are inside'):
        posterior_samples(FLOW, variables, X, lambda t: jnp.full(len(t), -jnp.inf), 10)
    with pytest.raises(UserError, match=r'a context of .* samples is numbers'):
        posterior_samples(FLOW, variables, X[:2], lambda theta: jnp.zeros(len(theta)), 10)
    with pytest.raises(UserError, match='num=0 must be at least 1'):
        posterior_samples(FLOW, variables, X, lambda theta: jnp.zeros(len(theta)), 0)
