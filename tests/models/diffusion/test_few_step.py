"""On data that are normal, where mean velocities and consistency functions are known."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.diffusion import ConsistencyModel, MeanFlow, Shortcut, Uniform
from genjax.networks import TimeMLP

KEY = jax.random.key(0)
SCALE = 0.6
X = SCALE * jax.random.normal(jax.random.key(1), (40_000, 2))


def std(t):
    return jnp.sqrt((1 - t) ** 2 * SCALE**2 + t**2)


class ExactMeanVelocity(nn.Module):
    """(x_t - x_r) / (t - r) with x_r = x_t std(r) / std(t), times a parameter that is 1."""

    shape: tuple = (2,)

    @nn.compact
    def __call__(self, x, time):
        factor = self.param('factor', nn.initializers.ones, ())
        t, length = time[:, :1], time[:, 1:]
        safe = jnp.maximum(length, 1e-3)
        mean = (1 - std(t - safe) / std(t)) / safe
        slope = (t - (1 - t) * SCALE**2) / std(t) ** 2
        return factor * jnp.where(length > 0, mean, slope) * x


@pytest.mark.parametrize(
    'model',
    [
        MeanFlow(ExactMeanVelocity(), power=0.0, instant=0.3),
        MeanFlow(ExactMeanVelocity(), power=0.0, instant=0.3, tangent='predicted'),
        Shortcut(ExactMeanVelocity(), 0.5),
    ],
    ids=['mean-flow', 'predicted-tangent', 'shortcut'],
)
def test_the_true_mean_velocity_is_where_the_loss_is_flat(model):
    variables = model.init(KEY, {'x': X})

    @jax.jit
    def gradient(factor, key):
        def loss(factor):
            moved = {**variables, 'params': {'network': {'factor': factor}}}
            return jnp.mean(model.phases[0].loss(moved, {'x': X}, key).values)

        return jax.grad(loss)(factor)

    keys = jax.random.split(KEY, 10)
    at_truth = np.array([gradient(1.0, key) for key in keys])
    error = at_truth.std() / np.sqrt(len(keys))
    assert abs(at_truth.mean()) < 4 * error + 2e-3
    assert gradient(1.1, KEY) > 5 * error + 1e-2
    assert gradient(0.9, KEY) < -5 * error - 1e-2


@pytest.mark.parametrize('kind', [MeanFlow, Shortcut])
@pytest.mark.parametrize('steps', [1, 4])
def test_samples_of_the_true_mean_velocity(kind, steps):
    model = kind(ExactMeanVelocity(), steps=steps)
    x = model.sample(model.init(KEY, {'x': X}), KEY, 1000)
    assert float(jnp.std(x)) == pytest.approx(SCALE, rel=0.05)
    one = dataclasses.replace(model, steps=1).sample(model.init(KEY, {'x': X}), KEY, 1000)
    np.testing.assert_allclose(x, one, atol=1e-5)


def test_the_weight_of_mean_flow():
    network = TimeMLP((2,), 8, 1)
    plain = MeanFlow(network, power=0.0)
    variables = plain.init(KEY, {'x': X[:8]})
    variables = jax.tree.map(lambda a: a + 0.05, variables)
    error = plain.phases[0].loss(variables, {'x': X[:8]}, KEY).values
    weighted = MeanFlow(network, power=0.5).phases[0].loss(variables, {'x': X[:8]}, KEY).values
    np.testing.assert_allclose(weighted, error / np.sqrt(error + 1e-3), rtol=1e-5)


def test_a_predicted_tangent_leaves_the_noise_of_the_velocity_alone():
    model = MeanFlow(ExactMeanVelocity(), times=Uniform(), tangent='predicted')
    variables = model.init(KEY, {'x': X})
    error = jnp.mean(model.phases[0].loss(variables, {'x': X}, KEY).metrics['error'])
    # Two dimensions of Var(ε - x | x_t); t is the same draw as r or the greater of two.
    t = (np.arange(1000) + 0.5) / 1000
    variance = 1 + SCALE**2 - (t - (1 - t) * SCALE**2) ** 2 / np.asarray(std(t)) ** 2
    assert float(error) == pytest.approx(2 * np.mean(2 * t * variance), rel=0.02)


class ExactConsistency(nn.Module):
    """F of f(x, σ) = x √((s² + σ_min²) / (s² + σ²))."""

    shape: tuple = (2,)

    def __call__(self, x, time):
        sigma = jnp.exp(4 * time)[:, None]
        norm = jnp.sqrt(sigma**2 + SCALE**2)
        above = sigma - 0.002
        f = jnp.sqrt((SCALE**2 + 0.002**2) / norm**2) * norm  # x has been divided by norm
        skip = SCALE**2 / (above**2 + SCALE**2) * norm
        return (f - skip) * x / (SCALE * jnp.maximum(above, 1e-6) / norm)


def test_a_consistent_function_has_samples_of_the_data_and_no_loss():
    model = ConsistencyModel(ExactConsistency(), data_scale=SCALE, num_scales=1280.0)
    variables = model.init(KEY, {'x': X})
    x = model.sample(variables, KEY, 4000)
    assert float(jnp.std(x)) == pytest.approx(SCALE, rel=0.03)
    two = dataclasses.replace(model, steps=2).sample(variables, KEY, 4000)
    assert float(jnp.std(two)) == pytest.approx(SCALE, rel=0.03)
    # Neighbours of the same noise are no two points of one path, so a little is left.
    assert (
        float(jnp.mean(model.phases[0].loss(variables, {'x': X}, KEY).metrics['distance'])) < 0.01
    )
    coarse = dataclasses.replace(model, num_scales=10.0).phases[0].loss(variables, {'x': X}, KEY)
    assert float(jnp.mean(coarse.metrics['distance'])) > 0.05


def test_every_network_is_exact_at_the_least_noise():
    model = ConsistencyModel(TimeMLP((2,), 8, 1))
    variables = jax.tree.map(lambda a: a + 0.1, model.init(KEY, {'x': X[:8]}))
    got, _ = model._denoised(variables, X[:8], jnp.full(8, model.sigma_min))
    np.testing.assert_allclose(got, X[:8], atol=1e-6)


def test_the_scales_are_those_of_karras():
    model = ConsistencyModel(TimeMLP((2,), 8, 1))
    i = np.arange(40)
    want = (0.002 ** (1 / 7) + i / 39 * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7
    np.testing.assert_allclose(model._sigma(jnp.arange(40) / 39), want, rtol=1e-4)


@pytest.mark.parametrize('kind', [MeanFlow, Shortcut, ConsistencyModel])
def test_mistakes_are_named(kind):
    with pytest.raises(UserError, match='steps'):
        kind(TimeMLP((2,), 8, 1), steps=0)
    with pytest.raises(UserError, match='tangent'):
        MeanFlow(TimeMLP((2,), 8, 1), tangent='true')
    with pytest.raises(UserError, match='power of two'):
        Shortcut(TimeMLP((2,), 8, 1), steps=100)
    with pytest.raises(UserError, match='label'):
        model = kind(TimeMLP((2,), 8, 1))
        model.sample({}, KEY, 2, label=jnp.zeros(2, jnp.int32))
