"""Regularisers, truncation, standing statistics and the pool of a GAN, written out by hand."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.errors import UserError
from genjax.models import GAN
from genjax.models.gan import Augment, Consistency, GANSampling, augment, standing_statistics
from genjax.models.gan.objectives import orthogonal_penalty
from genjax.models.gan.pool import empty, exchange
from genjax.models.sampling_options import with_sampling
from genjax.networks import MLP
from tests.models.zoo import BY_NAME
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(2)


def test_orthogonal_regularisation_is_of_units_that_differ():
    model = GAN(MLP((5,), shape=(2,)), MLP((4,), shape=()), 3, orthogonal=0.3)
    batch = {'x': jnp.zeros((6, 2))}
    variables = model.init(KEY, batch)
    want = 0.0
    for layer in variables['params']['generator'].values():
        kernel = np.asarray(layer['kernel'], np.float64)
        products = kernel.T @ kernel
        want += np.sum((products * (1 - np.eye(len(products)))) ** 2)
    assert float(orthogonal_penalty(variables['params']['generator'])) == pytest.approx(want)
    plain = dataclasses.replace(model, orthogonal=0.0)
    got, without = (m.phases[1].loss(variables, batch, KEY).values for m in (model, plain))
    np.testing.assert_allclose(got - without, 0.3 * want, rtol=1e-4)
    first, second = (m.phases[0].loss(variables, batch, KEY).values for m in (model, plain))
    np.testing.assert_array_equal(first, second)
    one = {'kernel': jnp.ones((2, 3, 4, 1)), 'bias': jnp.ones(4)}  # one unit, and no kernel
    assert orthogonal_penalty(one) == 0


class Shifting(nn.Module):
    """A generator with a linear map of known slope."""

    shape: tuple[int, ...] = (2, 3, 1)

    @nn.compact
    def __call__(self, z):
        return nn.Dense(6, name='output')(z).reshape(-1, *self.shape)


def test_consistency_penalties(monkeypatch):
    """T mirrors, so that D(T(x)) of a linear D is known; G is linear as well."""
    mirror = (augment.flip, lambda key, shape: (True,))
    monkeypatch.setitem(augment.TRANSFORMS, 'flip', mirror)
    weights = {'real': 3.0, 'fake': 2.0, 'latent': 5.0, 'spread': 0.7}
    regular = Consistency(**weights, noise_scale=0.5, augment=Augment(('flip',)))
    model = GAN(Shifting(), MLP((), shape=()), 4, consistency=regular)
    plain = dataclasses.replace(model, consistency=None)
    batch = {'x': jax.random.normal(KEY, (2000, 2, 3, 1))}
    variables = model.init(KEY, batch)
    slope = np.asarray(variables['params']['discriminator']['output']['kernel']).reshape(2, 3, 1)
    out, without = (m.phases[0].loss(variables, batch, KEY) for m in (model, plain))
    change = np.sum(
        (np.asarray(batch['x']) - np.asarray(batch['x'])[:, :, ::-1]) * slope, (1, 2, 3)
    )
    np.testing.assert_allclose(out.metrics['consistency_real'], 3 * change**2, rtol=1e-3, atol=1e-5)
    # Samples are not known here, but their law: Σ of the covariance under D of x - T(x).
    kernel = np.asarray(variables['params']['generator']['output']['kernel'])
    odd = (slope - slope[:, ::-1]).ravel()
    expected = np.sum((kernel @ odd) ** 2)
    found = np.mean(out.metrics['consistency_fake'])
    assert found == pytest.approx(2 * expected, rel=0.15)
    expected = 0.25 * np.sum((kernel @ slope.ravel()) ** 2)
    assert np.mean(out.metrics['consistency_latent']) == pytest.approx(5 * expected, rel=0.15)
    penalties = sum(v for k, v in out.metrics.items() if k.startswith('consistency'))
    np.testing.assert_allclose(out.values - without.values, penalties, rtol=1e-3, atol=1e-4)
    out, without = (m.phases[1].loss(variables, batch, KEY) for m in (model, plain))
    expected = 0.7 * 0.25 * np.sum(kernel**2) / 6
    assert np.mean(without.values - out.values) == pytest.approx(expected, rel=0.05)


def test_codes_are_truncated_by_drawing_again():
    for truncation, law in (
        (None, scipy.stats.norm),
        (0.5, scipy.stats.truncnorm(-0.5, 0.5)),
        (2.0, scipy.stats.truncnorm(-2.0, 2.0)),
    ):
        z = GANSampling(truncation).codes(KEY, (20_000,))
        assert scipy.stats.kstest(np.asarray(z), law.cdf).pvalue > 1e-3
    model = GAN(Shifting(), MLP((), shape=()), 4)
    variables = model.init(KEY, {'x': jnp.zeros((2, 2, 3, 1))})
    x, narrow = (
        m.sample(variables, KEY, 500) for m in (model, with_sampling(model, truncation=0.1))
    )
    assert float(jnp.std(narrow)) < 0.1 * float(jnp.std(x))
    with pytest.raises(UserError, match=r'GANSampling\.truncation must be more than 0'):
        GANSampling(0.0)


@pytest.mark.parametrize('num_classes', [full(None), 3])
def test_standing_statistics_are_those_of_the_final_parameters(num_classes):
    """The first layer's, in closed form; and samples do not remember the moving averages."""
    model = GAN(
        MLP((8, 8), shape=(2,), norm='batch'), MLP((4,), shape=()), 3, num_classes=num_classes
    )
    batch = {'x': jnp.zeros((4, 2)), 'label': jnp.zeros(4, jnp.int32)}
    variables = jax.tree.map(lambda a: a + 0.1, model.init(KEY, batch))
    got = standing_statistics(model, variables, KEY, batches=40, size=512)
    before, after = (v['state']['generator']['batch_stats'] for v in (variables, got))
    layer = variables['params']['generator']['Dense_0']
    kernel, bias = np.asarray(layer['kernel']), np.asarray(layer['bias'])
    mean = bias + (0 if num_classes is None else kernel[3:6].mean(axis=0))
    variance = np.sum(kernel[:3] ** 2, axis=0)
    if num_classes is not None:
        variance = variance + kernel[3:6].var(axis=0)
    first = after['BatchNorm_0']
    np.testing.assert_allclose(first['mean'], mean, atol=0.05)
    np.testing.assert_allclose(first['var'], variance, rtol=0.05)
    other = jax.tree.map(lambda a: a + 7.0, before)
    state = {**variables['state'], 'generator': {'batch_stats': other}}
    again = standing_statistics(model, {**variables, 'state': state}, KEY, batches=40, size=512)
    for a, b in zip(*map(jax.tree.leaves, (got, again)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_the_pool_shows_every_image_half_of_the_time_and_forgets_at_its_rate():
    size, num = 10, 4000
    images = jnp.arange(1.0, num + 1)[:, None]
    shown, pool = jax.jit(exchange)(empty(size, (1,)), images, jnp.ones(num, bool), KEY)
    shown = np.asarray(shown)[:, 0]
    numbers = np.arange(1, num + 1)
    np.testing.assert_array_equal(shown[:size], numbers[:size])
    now = shown == numbers
    assert np.mean(now[size:]) == pytest.approx(0.5, abs=0.03)
    assert len(set(shown[~now])) == np.sum(~now)  # each was stored once, and left
    assert np.all(shown <= numbers)
    # A stored image leaves with probability 1 / (2 size) at each step.
    ages = (numbers - shown)[~now]
    assert np.mean(ages[ages.size // 4 :]) == pytest.approx(2 * size, rel=0.12)
    assert pool['count'] == size and len(set(np.asarray(pool['images'])[:, 0])) == size


def test_masked_images_do_not_enter_the_pool():
    images, mask = jnp.arange(1.0, 7.0)[:, None], jnp.array([1, 0, 1, 0, 1, 1], bool)
    shown, pool = exchange(empty(8, (1,)), images, mask, KEY)
    np.testing.assert_array_equal(shown, images)
    np.testing.assert_array_equal(pool['images'][:, 0], [1, 3, 5, 6, 0, 0, 0, 0])


def test_of_the_pools_of_micro_batches_the_last_is_kept():
    entry = BY_NAME['cyclegan-pool']
    before = entry.model.init(KEY, entry.batch())['state']
    states = jax.tree.map(lambda a: jnp.stack([a, a + 1, a + 2]), before)
    discriminators, _ = entry.model.phases
    after = discriminators.merge(before, states, jnp.ones(3))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b + 2), after, before)
