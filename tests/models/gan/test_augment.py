"""The transforms of pictures against numpy, and how their probability adapts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from genjax.errors import UserError
from genjax.models import GAN
from genjax.models.gan import Augment, augment
from genjax.networks import MLP

KEY = jax.random.key(3)
CHANNELS = pytest.mark.parametrize('channels', [1, 3])


def _picture(channels, shape=(6, 8)):
    return np.random.default_rng(0).uniform(-1, 1, (*shape, channels)).astype(np.float32)


def _shifted(x, down, right):
    out = np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            if 0 <= i - down < x.shape[0] and 0 <= j - right < x.shape[1]:
                out[i, j] = x[i - down, j - right]
    return out


def _scaled(x, factor):
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in x.shape[:2])
    places = np.meshgrid(
        rows / factor + (x.shape[0] - 1) / 2, columns / factor + (x.shape[1] - 1) / 2, indexing='ij'
    )
    channels = [
        ndimage.map_coordinates(x[..., c], places, order=1, mode='grid-constant')
        for c in range(x.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def _blanked(x, row, column):
    out = x.copy()
    height, width = x.shape[0] // 2, x.shape[1] // 2
    top, left = row - x.shape[0] // 4, column - x.shape[1] // 4
    out[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 0
    return out


@CHANNELS
@pytest.mark.parametrize(
    ('name', 'arguments', 'want'),
    [
        ('flip', (), lambda x: x[:, ::-1]),
        *[('translate', shift, _shifted) for shift in [(0, 0), (2, -3), (-1, 1), (6, 0)]],
        *[('scale', (factor,), _scaled) for factor in [1.0, 1.3, 0.7, 2.0]],
        ('brightness', (0.3,), lambda x, amount: x + amount),
        (
            'saturation',
            (1.7,),
            lambda x, f: x.mean(-1, keepdims=True) * (1 - f) + f * x,
        ),
        ('contrast', (0.6,), lambda x, f: x.mean() * (1 - f) + f * x),
        *[('cutout', centre, _blanked) for centre in [(3, 4), (0, 0), (5, 7), (2, 0)]],
    ],
)
def test_transforms_against_numpy(name, arguments, want, channels):
    x = _picture(channels)
    got = getattr(augment, name)(jnp.asarray(x), *map(jnp.asarray, arguments))
    np.testing.assert_allclose(got, want(x, *arguments), atol=1e-5)


@CHANNELS
@pytest.mark.parametrize('quarters', range(4))
def test_quarter_turns_against_numpy(quarters, channels):
    x = _picture(channels, (6, 6))
    got = augment.rotate90(jnp.asarray(x), jnp.asarray(quarters))
    np.testing.assert_array_equal(got, np.rot90(x, quarters))


@CHANNELS
@pytest.mark.parametrize('name', augment.TRANSFORMS)
def test_gradients_against_finite_differences(name, channels):
    """A key fixes what is done, which is affine in the picture: differences are derivatives."""
    apply = jax.jit(lambda x: Augment((name,))(x, KEY, 1.0))
    x = jnp.asarray(np.stack([_picture(channels, (8, 8))] * 4))
    direction = jax.random.normal(KEY, x.shape)
    weight = jax.random.normal(jax.random.key(1), x.shape)
    slope = jnp.vdot(jax.grad(lambda x: jnp.vdot(apply(x), weight))(x), direction)
    want = jnp.vdot(apply(x + direction) - apply(x - direction), weight) / 2
    np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('name', augment.TRANSFORMS)
def test_each_picture_is_transformed_with_the_given_probability(name):
    x = jnp.asarray(np.stack([_picture(3, (8, 8))] * 2000))

    def changed(probability):
        return float(jnp.mean(jnp.any(Augment((name,))(x, KEY, probability) != x, axis=(1, 2, 3))))

    always = changed(1.0)
    # Translation by nothing, no quarter turn.
    assert always == pytest.approx({'rotate90': 3 / 4, 'translate': 8 / 9}.get(name, 1), abs=0.04)
    assert changed(0.3) == pytest.approx(0.3 * always, abs=0.04)
    assert changed(0.0) == 0


def test_shifts_reach_an_eighth_of_each_side_and_all_places_are_cut():
    keys = jax.random.split(KEY, 2000)
    shape = (16, 32, 3)
    shifts = jax.vmap(lambda key: jnp.stack(augment.TRANSFORMS['translate'][1](key, shape)))(keys)
    assert set(np.asarray(shifts[:, 0])) == set(range(-2, 3))
    assert set(np.asarray(shifts[:, 1])) == set(range(-4, 5))
    places = jax.vmap(lambda key: jnp.stack(augment.TRANSFORMS['cutout'][1](key, shape)))(keys)
    assert set(np.asarray(places[:, 0])) == set(range(16))
    assert set(np.asarray(places[:, 1])) == set(range(32))


def test_strengths_are_those_of_the_papers():
    keys = jax.random.split(KEY, 4000)
    for name, low, high in (
        ('brightness', -0.5, 0.5),
        ('saturation', 0, 2),
        ('contrast', 0.5, 1.5),
    ):
        (drawn,) = jax.vmap(lambda key, n=name: augment.TRANSFORMS[n][1](key, ()))(keys)
        quantiles = np.quantile(drawn, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(quantiles, np.linspace(low, high, 5), atol=0.05)
    (factors,) = jax.vmap(lambda key: augment.TRANSFORMS['scale'][1](key, ()))(keys)
    factors = np.asarray(factors)
    assert np.log2(factors).mean() == pytest.approx(0, abs=0.01)
    assert np.log2(factors).std() == pytest.approx(0.2, abs=0.01)


def test_probability_follows_the_sign_of_the_logits_over_many_steps():
    rule = Augment(target=0.6, images_to_full=1000)
    signs = np.concatenate([np.full(70, 0.9), np.full(30, 0.2), [0.6], np.full(60, -1.0)])
    signs = signs.astype(np.float32)
    got, want, probability, expected = [], [], jnp.zeros(()), 0.0
    for sign in signs:
        probability = rule.adapted(probability, jnp.asarray(sign), 16)
        expected = min(max(expected + np.sign(sign - np.float32(0.6)) * 16 / 1000, 0), 1)
        got.append(float(probability))
        want.append(expected)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert max(want) == 1.0
    assert min(want) == 0.0


@pytest.mark.parametrize('bias', [-3.0, 0.0, 3.0])
def test_the_discriminators_turn_adapts_the_probability(bias):
    rule = Augment(('flip',), probability=0.5, target=0.0, images_to_full=1000)
    model = GAN(MLP((4,), shape=(2, 3, 1)), MLP((4,), shape=()), 2, augment=rule)
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (7, 2, 3, 1)), jnp.float32)
    batch = {'x': x, 'mask': jnp.arange(7) < 5}
    variables = model.init(KEY, batch)
    output = variables['params']['discriminator']['output']
    output['bias'] += bias
    loss, probability = jax.jit(model.phases[0].loss), 0.5
    for step in range(20):
        out = loss(variables, batch, jax.random.fold_in(KEY, step))
        np.testing.assert_allclose(out.metrics['augment'], probability, atol=1e-5)
        share = np.mean(np.sign(out.metrics['real_logit'][:5]))
        probability += np.sign(share) * 5 / 1000
        states = jax.tree.map(lambda a: a[None], out.state)
        state = model.phases[0].merge(variables['state'], states, jnp.array([5.0]))
        variables = {**variables, 'state': state}
    assert bias == 0 or probability == pytest.approx(0.5 + np.sign(bias) * 0.1)


def test_both_players_see_augmented_pictures():
    """Flipping all that a linear layer sees is reordering its weights."""
    model = GAN(MLP((4,), shape=(2, 3, 1)), MLP((4,), shape=()), 2)
    flipping = dataclasses.replace(model, augment=Augment(('flip',), probability=1.0))
    batch = {'x': jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (4, 2, 3, 1)), jnp.float32)}
    variables = model.init(KEY, batch)
    layer = variables['params']['discriminator']['Dense_0']
    kernel = layer['kernel'].reshape(2, 3, 4)[:, ::-1].reshape(6, 4)
    params = {**variables['params']['discriminator'], 'Dense_0': {**layer, 'kernel': kernel}}
    reordered = {**variables, 'params': {**variables['params'], 'discriminator': params}}
    for flipped, plain in zip(flipping.phases, model.phases, strict=True):
        got = flipped.loss(variables, batch, KEY).values
        np.testing.assert_allclose(got, plain.loss(reordered, batch, KEY).values, rtol=1e-5)
        assert jnp.all(got != plain.loss(variables, batch, KEY).values)


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"'cutuot'.*cutout"):
        Augment(('cutuot',))
    with pytest.raises(UserError, match='square'):
        Augment(('rotate90',)).check((4, 6, 3))
