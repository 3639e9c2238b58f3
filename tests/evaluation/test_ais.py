"""Annealed importance sampling against a linear Gaussian model and other closed forms."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.data import Chain
from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation import AIS, EvaluationData
from genjax.evaluation.annealing import ais_bounds, anneal, sigmoid_schedule, tune_step_sizes
from genjax.evaluation.hmc import hmc_step
from genjax.models import VAE, Gaussian
from genjax.models.vae.bounds import gaussian_log_prob
from genjax.networks import MLP
from tests.models.zoo import BY_NAME

pytestmark = pytest.mark.slow

KEY = jax.random.key(11)
SCALE = 0.5


@pytest.fixture(scope='module')
def linear():
    """x = W z + b + noise, its own samples, and their exact log p(x)."""
    rng = np.random.default_rng(0)
    model = VAE(MLP((), shape=(6,)), MLP((), shape=(6,)), 3, Gaussian(SCALE), eval_samples=20_000)
    variables = jax.jit(model.init)(KEY, {'x': jnp.zeros((2, 6))})
    # The posterior is the prior, which is good enough for importance weighting.
    variables['params']['encoder'] = jax.tree.map(jnp.zeros_like, variables['params']['encoder'])
    w, b = rng.standard_normal((3, 6)), rng.standard_normal(6)
    variables['params']['decoder'] = {
        'output': {'kernel': jnp.asarray(w, jnp.float32), 'bias': jnp.asarray(b, jnp.float32)}
    }
    z = jax.random.normal(KEY, (20, 3))
    x = model.sample_given_code(variables, jax.random.key(1), z)
    exact = scipy.stats.multivariate_normal(b, w.T @ w + SCALE**2 * np.eye(6)).logpdf(x)
    return model, variables, z, x, exact


def test_schedule():
    betas = sigmoid_schedule(100)
    assert betas[0] == 0 and betas[-1] == 1 and len(betas) == 101
    assert np.all(np.diff(betas) > 0)
    assert betas[1] < 0.01 < betas[51] - betas[50]


def test_hmc_keeps_its_target():
    mean, log_std = jnp.array([1.0, -2.0]), jnp.array([0.3, -1.0])
    z = mean + jnp.exp(log_std) * jax.random.normal(KEY, (20_000, 2))

    def step(z, key):
        z, accepted = hmc_step(key, lambda z: gaussian_log_prob(z, mean, log_std), z, 0.4, 3)
        return z, jnp.mean(accepted)

    end, accepted = jax.jit(lambda: jax.lax.scan(step, z, jax.random.split(KEY, 10)))()
    np.testing.assert_allclose(jnp.mean(end, 0), mean, atol=0.04)
    np.testing.assert_allclose(jnp.std(end, 0), jnp.exp(log_std), rtol=0.03)
    assert 0.5 < float(jnp.mean(accepted)) < 0.99
    assert float(jnp.corrcoef(z[:, 0], end[:, 0])[0, 1]) < 0.5


def test_a_diverging_trajectory_is_refused():
    z = jnp.ones((4, 2))
    end, accepted = hmc_step(KEY, lambda z: -jnp.sum(z**4, axis=-1), z, 1e6, 5)
    np.testing.assert_array_equal(end, z)
    np.testing.assert_array_equal(accepted, 0)


def test_one_step_is_importance_sampling_from_the_prior():
    z = jax.random.normal(KEY, (5, 2))
    weights, _, _ = anneal(
        KEY,
        gaussian_log_prob,
        lambda z: -jnp.sum(z**2, -1),
        z,
        jnp.array([0.0, 1.0]),
        jnp.full(1, 0.1),
    )
    np.testing.assert_allclose(weights, -jnp.sum(z**2, -1), rtol=1e-6)


def test_tuned_steps_are_accepted_about_as_often_as_wanted():
    args = (gaussian_log_prob, lambda z: gaussian_log_prob(z, 1.0, -1.0))
    z, betas = jax.random.normal(KEY, (200, 3)), jnp.asarray(sigmoid_schedule(200))
    sizes = jax.jit(lambda: tune_step_sizes(KEY, *args, z, betas, 5))()
    assert sizes.shape == (200, 200)
    _, _, accepted = anneal(KEY, *args, z, betas, sizes, 5)
    assert 0.55 < float(jnp.mean(accepted[100:])) < 0.8


def test_exact_density_lies_between_the_bounds_and_importance_weighting_agrees(linear):
    model, variables, z, x, exact = linear
    bounds = jax.jit(lambda: ais_bounds(
        KEY,
        lambda z: model.prior_log_prob(variables, z),
        lambda z: model.log_likelihood(variables, x, z),
        lambda key: model.prior_sample(variables, key, len(x)),
        jnp.asarray(sigmoid_schedule(300)), 100, 10, z,
    ))  # fmt: skip
    lower, upper = bounds()
    assert abs(np.mean(upper) - np.mean(lower)) < 0.1
    assert np.mean(lower) - 0.05 < np.mean(exact) < np.mean(upper) + 0.05
    np.testing.assert_allclose(lower, exact, atol=0.25)
    np.testing.assert_allclose(upper, exact, atol=0.25)
    iwae = jax.jit(model.log_prob)(variables, x, KEY).value
    assert np.mean(exact) - 0.1 < np.mean(iwae) < np.mean(exact) + 0.03


@dataclass(frozen=True)
class _Points:
    event_shape: tuple[int, ...] = (6,)


def _data(x):
    def batches(size):
        for start in range(0, len(x), size):
            part = np.asarray(x[start : start + size])
            mask = np.arange(size) < len(part)
            yield jax.device_put({'x': np.pad(part, ((0, size - len(part)), (0, 0))), 'mask': mask})

    return EvaluationData(_Points(), 'test', batches, Chain(()))


@pytest.mark.full
def test_evaluator(linear):
    model, variables, _, x, exact = linear
    ais = AIS(num_steps=200, num_chains=64, num_leapfrog=10, batch_size=20)
    figures = ais(model, variables, _data(x), KEY)
    assert figures['nll'] == pytest.approx(-np.mean(exact), abs=0.1)
    assert figures['kind'] == 'lower_bound'
    assert abs(figures['gap']) < 0.15
    assert figures['protocol'] == 'AIS of 200 steps, 64 chains, test (20 examples)'


@pytest.mark.full
def test_a_part_of_the_split_is_chosen_at_random(linear):
    """A split in the order of its log-probabilities, of which the first half are far from all."""
    model, variables, _, x, exact = linear
    order = np.argsort(np.asarray(exact))
    x, exact = np.asarray(x)[order], np.asarray(exact)[order]
    ais = AIS(num_steps=100, num_chains=32, batch_size=5, num_batches=2)
    figures = ais(model, variables, _data(x), KEY)
    assert figures['nll'] == pytest.approx(-np.mean(exact[random_subset(20, 10)]), abs=0.15)
    assert abs(figures['nll'] + np.mean(exact[:10])) > 0.5
    assert figures['protocol'].endswith('test (10 examples at random)')


def test_mistakes_are_named():
    with pytest.raises(UserError, match='num_chains'):
        AIS(num_chains=0)
    with pytest.raises(UserError, match='AIS cannot judge a GAN'):
        AIS()(BY_NAME['gan'].model, {}, _data(np.zeros((2, 6), np.float32)), KEY)
