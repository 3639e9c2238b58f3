"""The transforms of pictures against numpy, and how their probability adapts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from genjax.errors import UserError
from genjax.models import GAN
from genjax.models.gan import Augment, augment
from genjax.networks import MLP
from tests.tiers import few, full

pytestmark = pytest.mark.slow

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
    return _moved(x, np.eye(2) / factor)


def _stretched(x, factor):
    return _moved(x, np.diag([factor, 1 / factor]))


def _rotated(x, angle):
    cosine, sine = np.cos(angle), np.sin(angle)
    return _moved(x, np.array([[cosine, sine], [-sine, cosine]]))


def _turned(x, angle):
    if x.shape[-1] == 1:
        return x
    return x @ Rotation.from_rotvec(angle * np.ones(3) / np.sqrt(3)).as_matrix().T


def _moved(x, matrix):
    """The picture whose place p (row, column) from the middle is that of x at matrix p."""
    middle = (np.array(x.shape[:2]) - 1) / 2
    places = np.stack(np.meshgrid(*map(np.arange, x.shape[:2]), indexing='ij'), -1) - middle
    places = np.moveaxis(places @ matrix.T + middle, -1, 0)
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
        ('flip', (True,), lambda x, _: x[:, ::-1]),
        ('flip', (False,), lambda x, _: x),
        *[('translate', shift, _shifted) for shift in [(0, 0), (2, -3), (-1, 1), (6, 0)]],
        *[('scale', (factor,), _scaled) for factor in [1.0, 1.3, 0.7, 2.0]],
        *[('stretch', (factor,), _stretched) for factor in [1.0, 1.3, 0.7]],
        *[('rotate', (angle,), _rotated) for angle in [0.0, 0.4, -2.0, np.pi / 2]],
        ('luma_flip', (True,), lambda x, _: x - 2 * x.mean(-1, keepdims=True)),
        ('luma_flip', (False,), lambda x, _: x),
        *[('hue', (angle,), _turned) for angle in [0.5, 2 * np.pi / 3]],
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


# Pixels that are moved, drawn anew between others, mixed, covered, and added to.
KEPT = ('flip', 'scale', 'translate', 'hue', 'cutout', 'noise')


@pytest.mark.parametrize('channels', [full(1), 3])
@pytest.mark.parametrize('name', few(list(augment.TRANSFORMS), KEPT))
def test_gradients_against_finite_differences(name, channels):
    """A key fixes what is done, which is affine in the picture: differences are derivatives."""
    apply = jax.jit(lambda x: Augment((name,))(x, KEY, 1.0))
    x = jnp.asarray(np.stack([_picture(channels, (8, 8))] * 4))
    direction = jax.random.normal(KEY, x.shape)
    weight = jax.random.normal(jax.random.key(1), x.shape)
    slope = jnp.vdot(jax.grad(lambda x: jnp.vdot(apply(x), weight))(x), direction)
    want = jnp.vdot(apply(x + direction) - apply(x - direction), weight) / 2
    np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('name', few(list(augment.TRANSFORMS), KEPT))
def test_each_picture_is_transformed_with_the_given_probability(name):
    x = jnp.asarray(np.stack([_picture(3, (8, 8))] * 2000))

    def changed(probability):
        return float(jnp.mean(jnp.any(Augment((name,))(x, KEY, probability) != x, axis=(1, 2, 3))))

    always = changed(1.0)
    # No flip, no quarter turn, translation by nothing.
    some = {'flip': 1 / 2, 'luma_flip': 1 / 2, 'rotate90': 3 / 4, 'translate': 8 / 9}
    assert always == pytest.approx(some.get(name, 1), abs=0.04)
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
    for name in ('scale', 'stretch'):
        (factors,) = jax.vmap(lambda key, n=name: augment.TRANSFORMS[n][1](key, ()))(keys)
        factors = np.asarray(factors)
        assert np.log2(factors).mean() == pytest.approx(0, abs=0.01)
        assert np.log2(factors).std() == pytest.approx(0.2, abs=0.01)
    for name in ('rotate', 'hue'):
        (angles,) = jax.vmap(lambda key, n=name: augment.TRANSFORMS[n][1](key, ()))(keys)
        quantiles = np.quantile(angles, [0, 0.5, 1])
        np.testing.assert_allclose(quantiles, [-np.pi, 0, np.pi], atol=0.15)
    shifts = jax.vmap(lambda key: jnp.stack(augment.TRANSFORMS['shift'][1](key, (16, 32, 3))))(keys)
    np.testing.assert_allclose(np.std(shifts, axis=0), [2.0, 4.0], rtol=0.05)
    scales, noises = jax.vmap(lambda key: augment.TRANSFORMS['noise'][1](key, ()))(keys)
    assert np.sqrt(np.mean(np.square(scales))) == pytest.approx(0.1, rel=0.05)
    added = jax.vmap(lambda s, k: augment.noise(jnp.zeros((4, 4, 1)), s, k))(scales, noises)
    assert float(jnp.std(added)) == pytest.approx(0.1, rel=0.05)


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


@pytest.mark.parametrize('bias', [-3.0, full(0.0), 3.0])
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


@pytest.mark.parametrize('probability', [0.3, 0.5, 0.8])
def test_what_is_odd_under_a_flip_is_left_by_the_share_that_was_spared(probability):
    x = jnp.broadcast_to(jnp.arange(4.0)[None, None, :, None] - 1.5, (8000, 2, 4, 1))
    y = Augment(('flip',))(x, KEY, probability)
    np.testing.assert_allclose(jnp.mean(y * x) / jnp.mean(x * x), 1 - probability, atol=0.03)


_FREQUENCIES = np.linspace(-40, 40, 801)
_CHARACTERS = {
    # transform -> the characters exp(i ω·g) of what it draws, in the group in which it composes
    'flip': lambda b: (-1.0) ** b,
    'rotate90': lambda k: 1j ** (np.arange(4)[:, None] * k),
    'translate': lambda down, right: np.stack(
        [np.exp(1j * (u * down + v * right)) for u in np.linspace(0, np.pi, 25) for v in (0, u)]
    ),
    'scale': lambda f: np.exp(1j * _FREQUENCIES[:, None] * np.log(f)),
    'stretch': lambda f: np.exp(1j * _FREQUENCIES[:, None] * np.log(f)),
    'rotate': lambda a: np.exp(1j * np.arange(20)[:, None] * a),
    'hue': lambda a: np.exp(1j * np.arange(20)[:, None] * a),
    'luma_flip': lambda b: (-1.0) ** b,
    'shift': lambda down, right: np.stack(
        [np.exp(1j * (u * down + v * right)) for u in np.linspace(0, np.pi, 25) for v in (0, u)]
    ),
    'noise': lambda scale, key: np.exp(-0.5 * (_FREQUENCIES[:, None] * scale) ** 2),
    'brightness': lambda a: np.exp(1j * _FREQUENCIES[:, None] * a),
    'saturation': lambda f: np.exp(1j * _FREQUENCIES[:, None] * np.log(f)),
    'contrast': lambda f: np.exp(1j * _FREQUENCIES[:, None] * np.log(f)),
}


@pytest.mark.parametrize('name', _CHARACTERS)
def test_no_distribution_is_lost_up_to_a_probability_of_point_7(name):
    """Karras et al. (2020), appendix C: (1 - p) + p E[exp(i ω·g)] has no zero."""
    keys = jax.random.split(KEY, 4000)
    drawn = jax.vmap(lambda key: augment.TRANSFORMS[name][1](key, (8, 8, 3)))(keys)
    drawn = [
        a if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else np.asarray(a).astype(float)
        for a in drawn
    ]
    average = np.mean(np.atleast_2d(_CHARACTERS[name](*drawn)), axis=1)
    for p in np.linspace(0.05, 0.7, 14):
        assert np.min(np.abs(1 - p + p * average)) > 0.02, p


def test_a_cut_out_pixel_comes_from_an_image_of_which_the_rest_is_whole():
    """Cut-outs are no group: the same one twice is one, so 1 - p is the least eigenvalue."""
    x, centre = jnp.asarray(_picture(3)), (jnp.asarray(2), jnp.asarray(3))
    once = augment.cutout(x, *centre)
    np.testing.assert_array_equal(augment.cutout(once, *centre), once)


def test_penalties_are_of_the_gradient_by_the_image_before_augmentation():
    """Contrast by f scales what is not the mean: so is the gradient of a linear logit by it."""
    model = GAN(
        MLP((), shape=(2, 3, 1)), MLP((), shape=()), 2, r1=1.0, r2=1.0, gradient_penalty=1.0,
        augment=Augment(('brightness', 'contrast')),
    )  # fmt: skip
    batch = {'x': jax.random.normal(KEY, (64, 2, 3, 1))}
    variables = model.init(KEY, batch)
    slope = np.asarray(variables['params']['discriminator']['output']['kernel']).ravel()
    metrics = model.phases[0].loss(variables, batch, KEY).metrics
    rest = np.sum((slope - slope.mean()) ** 2)
    for name in ('r1', 'r2'):
        factors = (2 * np.asarray(metrics[name]) - 6 * slope.mean() ** 2) / rest
        assert np.all((factors > 0.25 - 1e-3) & (factors < 2.25 + 1e-3))
        assert np.std(factors) > 0.3
    assert np.std(metrics['gradient_penalty']) > 1e-2  # of the slope itself it would be 0


def test_both_players_see_augmented_pictures(monkeypatch):
    """Flipping all that a linear layer sees is reordering its weights."""
    model = GAN(MLP((4,), shape=(2, 3, 1)), MLP((4,), shape=()), 2)
    mirror = (augment.flip, lambda key, shape: (True,))
    monkeypatch.setitem(augment.TRANSFORMS, 'flip', mirror)
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
