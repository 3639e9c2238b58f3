"""On data that are normal, where mean velocities and consistency functions are known."""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from genjax.errors import UserError
from genjax.evaluation.mmd import mmd2
from genjax.models.diffusion import (
    EDM,
    Classifier,
    ConsistencyModel,
    ContinuousConsistency,
    DiffusionModel,
    DiffusionSampling,
    Epsilon,
    FewStepSampling,
    Karras,
    MeanFlow,
    Shortcut,
    Uniform,
)
from genjax.models.sampling_options import with_sampling
from genjax.networks import TimeMLP
from tests.models.diffusion.trained import train
from tests.tiers import full

pytestmark = pytest.mark.slow

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
        full(MeanFlow(ExactMeanVelocity(), power=0.0, instant=0.3, tangent='predicted')),
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
    model = kind(ExactMeanVelocity(), sampling=FewStepSampling(steps))
    x = model.sample(model.init(KEY, {'x': X}), KEY, 1000)
    assert float(jnp.std(x)) == pytest.approx(SCALE, rel=0.05)
    one = kind(ExactMeanVelocity()).sample(model.init(KEY, {'x': X}), KEY, 1000)
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
    two = with_sampling(model, steps=2).sample(variables, KEY, 4000)
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


@pytest.mark.parametrize('num_scales', [11, full(160), full(1281)])
def test_noise_is_drawn_by_the_papers_probabilities(num_scales, monkeypatch):
    """Song & Dhariwal (2024), section 3.5: that of the i-th σ is in proportion to
    erf((log σ_i+1 - mean) / √2 std) - erf((log σ_i - mean) / √2 std).
    """
    model = ConsistencyModel(TimeMLP((2,), 8, 1), num_scales=float(num_scales))
    low, high = 0.002 ** (1 / 7), 80 ** (1 / 7)
    sigmas = (low + np.arange(num_scales) / (num_scales - 1) * (high - low)) ** 7
    want = np.diff(erf((np.log(sigmas) + 1.1) / (2 * math.sqrt(2))))
    want /= want.sum()
    seen, num = [], 2_000_000

    def denoised(model, variables, x, sigma, *label, **options):
        seen.append(sigma)
        return x, {}

    monkeypatch.setattr(ConsistencyModel, '_denoised', denoised)
    model._loss({}, {'x': jnp.zeros((num, 2))}, KEY)
    sigma, below = (np.asarray(values, np.float64) for values in seen)
    number = np.rint((below ** (1 / 7) - low) / (high - low) * (num_scales - 1)).astype(int)
    np.testing.assert_allclose(sigma, sigmas[number + 1], rtol=1e-4)
    got = np.bincount(number, minlength=num_scales - 1)
    # Binomial, in every bin; the ends are those of 40 to 8,000 draws.
    assert np.all(np.abs(got - num * want) < 5 * np.sqrt(num * want))


def test_the_scales_are_those_of_karras():
    model = ConsistencyModel(TimeMLP((2,), 8, 1))
    i = np.arange(40)
    want = (0.002 ** (1 / 7) + i / 39 * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7
    np.testing.assert_allclose(model._sigma(jnp.arange(40) / 39), want, rtol=1e-4)


@pytest.mark.parametrize('kind', [MeanFlow, Shortcut, ConsistencyModel])
def test_mistakes_are_named(kind):
    with pytest.raises(UserError, match='steps'):
        with_sampling(kind(TimeMLP((2,), 8, 1)), steps=0)
    with pytest.raises(UserError, match='tangent'):
        MeanFlow(TimeMLP((2,), 8, 1), tangent='true')
    with pytest.raises(UserError, match='power of two'):
        Shortcut(TimeMLP((2,), 8, 1), sampling=FewStepSampling(100))
    with pytest.raises(UserError, match='label'):
        model = kind(TimeMLP((2,), 8, 1))
        model.sample({}, KEY, 2, label=jnp.zeros(2, jnp.int32))
    with pytest.raises(UserError, match='num_scales'):
        ConsistencyModel(TimeMLP((2,), 8, 1), num_scales=1.0)
    for share in (-0.1, 1.0, 1.5):
        with pytest.raises(UserError, match='instant must be at least 0 and less than 1'):
            MeanFlow(TimeMLP((2,), 8, 1), instant=share)
        with pytest.raises(UserError, match='consistent must be at least 0 and less than 1'):
            Shortcut(TimeMLP((2,), 8, 1), consistent=share)


def draw_eight(key, num):
    """Eight clusters on a circle."""
    number_key, key = jax.random.split(key)
    angle = 0.25 * jnp.pi * jax.random.randint(number_key, (num, 1), 0, 8)
    centre = 2.0 * jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return {'x': centre + 0.2 * jax.random.normal(key, (num, 2))}


@pytest.mark.full
def test_one_step_with_a_network_of_all_defaults():
    """A network given 1000 as its scale of times is at .091 here; 1,000 of the data at 0."""
    model = MeanFlow(
        TimeMLP((2,), 64, 2), times=Uniform(), instant=0.5, power=0.0, tangent='predicted'
    )
    variables = train(model, draw_eight, num_steps=1000)
    x = jax.jit(lambda variables: model.sample(variables, KEY, 1000))(variables)
    data = draw_eight(jax.random.key(9), 1000)['x']
    assert float(mmd2(x, data, jnp.array([0.5, 1.0, 2.0]), 100)) < 0.015


def test_the_scale_of_times_is_what_the_model_needs():
    """Consistency models and EDM see ¼ log σ, MeanFlow takes slopes in time."""
    network = TimeMLP((2,), 8, 1)
    smooth = (MeanFlow(network)._network, ConsistencyModel(network)._network)
    sampling = DiffusionSampling(guide=Classifier(TimeMLP((3,), 8, 1)))
    edm = DiffusionModel(network, Karras(), EDM(), num_classes=3, sampling=sampling)
    smooth += (edm.with_condition(network), sampling.guide.networks(edm)['classifier'])
    assert [network.time_scale for network in smooth] == [10.0] * 4
    assert Shortcut(network)._network.time_scale == 1000.0
    assert DiffusionModel(network).with_condition(network).time_scale == 1000.0
    own = TimeMLP((2,), 8, 1, time_scale=50.0)
    assert MeanFlow(own)._network.time_scale == 50.0


def test_a_time_scale_that_hides_slopes_is_warned_of(caplog):
    network = TimeMLP((2,), 8, 1, time_scale=999.0)
    for model in (MeanFlow(network), ConsistencyModel(network)):
        model.init(KEY, {'x': X[:2]})
    line = 'TimeMLP.time_scale=999 hides from this model how its outputs change with time'
    assert [line in record.message for record in caplog.records] == [True]
    caplog.clear()
    DiffusionModel(network).init(KEY, {'x': X[:2]})
    Shortcut(network).init(KEY, {'x': X[:2]})
    MeanFlow(TimeMLP((2,), 8, 1, time_scale=50.0)).init(KEY, {'x': X[:2]})
    assert not caplog.records


class ExactContinuous(nn.Module):
    """F of f(x, t) = x SCALE / std, with std² = cos² SCALE² + sin² DATA_SCALE², times a factor."""

    shape: tuple = (2,)

    @nn.compact
    def __call__(self, x, time):
        factor = self.param('factor', nn.initializers.ones, ())
        cos, sin = jnp.cos(time)[:, None], jnp.sin(time)[:, None]
        f = SCALE / jnp.sqrt((cos * SCALE) ** 2 + (sin * DATA_SCALE) ** 2)
        return factor * (cos - f) * x / jnp.maximum(sin, 1e-6)


class ExactDenoiser(nn.Module):
    """The expected noise of the data along the path of EDM."""

    shape: tuple = (2,)

    def __call__(self, x, time):
        sigma = 80.0 * time[:, None]
        return sigma * x / (SCALE**2 + sigma**2)


DATA_SCALE = 0.9
TEACHER = DiffusionModel(ExactDenoiser(), Karras(), Epsilon())


@pytest.mark.parametrize('teacher', [None, TEACHER], ids=['data', 'teacher'])
def test_the_true_function_is_constant_along_trajectories(teacher):
    """Its tangent is 0: with a teacher everywhere, from data in the mean given x_t."""
    model = ContinuousConsistency(ExactContinuous(), teacher, DATA_SCALE)
    variables = model.init(KEY, {'x': X})
    t_key, key = jax.random.split(KEY)
    t = jax.random.uniform(t_key, (len(X),), minval=0.1, maxval=1.5)
    noise = jax.random.normal(key, X.shape)

    def products(factor):
        params = {**variables['params'], 'network': {'factor': jnp.float32(factor)}}
        moved = {'params': params, 'state': {}}
        _, tangent, _ = model._tangent(moved, X, noise, t)
        noisy = jnp.cos(t)[:, None] * X + DATA_SCALE * jnp.sin(t)[:, None] * noise
        return np.asarray(tangent), np.asarray(jnp.sum(tangent * noisy, axis=-1))

    tangent, product = products(1.0)
    if teacher is not None:
        np.testing.assert_allclose(tangent, 0.0, atol=2e-4)
    for part in (np.asarray(t) < 0.7, np.asarray(t) >= 0.7):
        error = product[part].std() / np.sqrt(part.sum())
        assert abs(product[part].mean()) < 4 * error + 1e-4
        assert abs(products(3.0)[1][part].mean()) > 8 * error + 1e-3


@pytest.mark.parametrize('steps', [1, 2])
def test_samples_of_the_true_continuous_function(steps):
    sampling = FewStepSampling(steps)
    model = ContinuousConsistency(ExactContinuous(), None, DATA_SCALE, sampling=sampling)
    x = model.sample(model.init(KEY, {'x': X}), KEY, 4000)
    assert float(jnp.std(x)) == pytest.approx(SCALE, rel=0.03)


def test_the_loss_moves_the_output_along_the_tangent():
    """|F - F⁻ + g|² e^-u + u with g of norm |df| / (|df| + .1); the teacher has no gradient."""
    model = ContinuousConsistency(ExactContinuous(), TEACHER, DATA_SCALE, progress=0.3)
    variables = model.init(KEY, {'x': X[:64]})
    params = {**variables['params'], 'network': {'factor': jnp.float32(1.3)}}
    params['uncertainty'] = jax.tree.map(lambda a: a + 0.02, params['uncertainty'])
    variables = {'params': params, 'state': {}}
    out = model.phases[0].loss(variables, {'x': X[:64]}, KEY)
    norm = np.asarray(out.metrics['tangent'])
    error = (norm / (norm + 0.1)) ** 2 / 2
    np.testing.assert_allclose(out.metrics['error'], error, rtol=1e-4)
    t = np.arctan(
        np.exp(-1 + 1.4 * jax.random.normal(jax.random.split(KEY, 3)[0], (64,))) / DATA_SCALE
    )
    log_error = model.uncertainty.apply({'params': params['uncertainty']}, jnp.asarray(t))
    want = error * np.exp(-log_error) + log_error
    np.testing.assert_allclose(out.values, want, rtol=1e-3, atol=1e-4)
    assert model.phases[0].trains == ('network', 'uncertainty')
