import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from genjax import data
from genjax.data.augmentation import augmented
from genjax.errors import UserError

KEY = jax.random.key(0)
X = np.random.RandomState(0).randint(0, 256, (64, 6, 8, 3)).astype(np.uint8)
ALL = (data.Flip(), data.Crop(2), data.ResizedCrop(), data.Colour(), data.Mutate(0.3))
EVERY = pytest.mark.parametrize('step', ALL, ids=lambda step: type(step).__name__)


def images(step, x=X, key=KEY):
    return np.asarray(step({'x': jnp.asarray(x)}, key)['x'])


@EVERY
def test_each_example_is_changed_on_its_own_and_keeps_type_and_shape(step):
    y = images(step)
    assert y.dtype == np.uint8 and y.shape == X.shape
    np.testing.assert_array_equal(y, images(step))  # a function of the key
    assert np.mean(np.any(y != images(step, key=jax.random.key(1)), axis=(1, 2, 3))) > 0.4
    other = X.copy()
    other[1:] = 0
    np.testing.assert_array_equal(images(step, other)[0], y[0])
    assert len(np.unique(images(step, np.broadcast_to(X[:1], X.shape)), axis=0)) > 1
    batch = step({'x': jnp.asarray(X, jnp.float32), 'label': jnp.arange(64)}, KEY)
    assert batch['x'].dtype == jnp.float32
    np.testing.assert_array_equal(batch['label'], np.arange(64))
    with pytest.raises(UserError, match=rf'{type(step).__name__} takes images .* \[5\]'):
        step({'x': jnp.zeros((2, 5))}, KEY)


def test_flip_mirrors_half_of_the_images():
    x = np.tile(X, (16, 1, 1, 1))
    for step, axis in ((data.Flip(), 2), (data.Flip(0.2, vertical=True), 1)):
        y = images(step, x)
        flipped = np.all(y == np.flip(x, axis), axis=(1, 2, 3))
        assert np.all(flipped | np.all(y == x, axis=(1, 2, 3)))
        share = step.probability
        assert abs(flipped.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(x))


def test_mutated_values_are_uniform_and_as_many_as_said():
    x = np.full((64, 28, 28, 1), 255, np.uint8)
    y = images(data.Mutate(0.25), x)
    mutated = y[y != 255]
    assert np.mean(y != 255) == pytest.approx(0.25 * 255 / 256, abs=0.01)
    counts = np.bincount(mutated, minlength=255)
    assert stats.chisquare(counts[:255]).pvalue > 1e-3
    np.testing.assert_array_equal(images(data.Mutate(0.0), x), x)


@pytest.mark.parametrize('mode', ['constant', 'reflect', 'edge'])
def test_a_crop_is_a_part_of_the_padded_image(mode):
    x = np.tile(X, (4, 1, 1, 1))
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (6, 8), axis=(1, 2))
    same = np.all(windows == np.moveaxis(images(data.Crop(2, mode), x), -1, 1)[:, None, None],
                  axis=(3, 4, 5))  # fmt: skip
    places = same.reshape(len(x), -1)
    assert places.any(axis=1).all() and places.any(axis=0).all()  # all 25 places occur


def test_a_resized_crop_is_that_of_pillow():
    """Of the whole image, nothing changes; of a part, what Pillow makes of it."""
    np.testing.assert_array_equal(images(data.ResizedCrop((1, 1), (8 / 6, 8 / 6))), X)
    y, x = np.mgrid[:32, :32]
    smooth = np.stack([8 * x, 8 * y, 0 * x], -1).astype(np.float32)
    found = images(data.ResizedCrop((0.25, 0.25), (1, 1)), np.tile(smooth, (64, 1, 1, 1)))
    starts = found[:, 3:-3, 3:-3] / 8
    # A part of 16 x 16: half a pixel for a pixel.
    np.testing.assert_allclose(np.diff(starts[..., 0], axis=2), 0.5, atol=1e-3)
    np.testing.assert_allclose(np.diff(starts[..., 1], axis=1), 0.5, atol=1e-3)
    corner = found[:, 8, 8, 0] / 8 - 8.5 / 2 + 0.5
    assert corner.min() >= -0.01 and corner.max() <= 16.01 and corner.std() > 3
    areas = images(data.ResizedCrop((0.1, 1.0)), np.tile(smooth, (64, 1, 1, 1)))
    slopes = np.diff(areas[:, 10:20, 10:20] / 8, axis=2)[..., 0].mean(axis=(1, 2))
    assert 0.2 < slopes.min() < 0.7 and 0.8 < slopes.max() <= 1.2
    shrunk = Image.fromarray(X[0]).resize((4, 3), Image.Resampling.BILINEAR)
    ours = jax.image.scale_and_translate(
        jnp.asarray(X[0], jnp.float32), (3, 4, 3), (0, 1), jnp.array([0.5, 0.5]), jnp.zeros(2),
        'linear', antialias=True,
    )  # fmt: skip
    assert np.abs(np.asarray(ours) - np.asarray(shrunk)).max() <= 1


def test_colours_are_those_of_pillow():
    from PIL import ImageEnhance

    x = np.tile(X[:1], (64, 1, 1, 1))
    for name, enhance in (
        ('brightness', ImageEnhance.Brightness),
        ('saturation', ImageEnhance.Color),
        ('contrast', ImageEnhance.Contrast),
    ):
        amounts = {n: 0.0 for n in ('brightness', 'contrast', 'saturation', 'hue')}
        found = images(data.Colour(**{**amounts, name: 0.5}), x).astype(float)
        factors = np.linspace(0.5, 1.5, 401)
        image = Image.fromarray(X[0])
        options = np.stack([np.asarray(enhance(image).enhance(f)) for f in factors]).astype(float)
        errors = np.abs(found[:, None] - options[None]).mean(axis=(2, 3, 4))
        assert errors.min(axis=1).max() < 1.2, name
        best = factors[errors.argmin(axis=1)]
        assert best.min() < 0.65 and best.max() > 1.35
    grey = np.repeat(X[:, :, :, :1], 3, axis=-1)
    none = data.Colour(0, 0, 0.5, 0.5)
    assert np.abs(images(none, grey).astype(int) - grey).max() <= 1  # grey has no chroma
    assert images(data.Colour(), X[..., :1]).shape == (64, 6, 8, 1)
    middle = np.full((64, 2, 2, 3), [120.0, 100.0, 90.0], np.float32)
    turned = images(data.Colour(0, 0, 0, 0.5), middle)
    luma = turned @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luma, middle @ np.array([0.299, 0.587, 0.114]), atol=0.1)
    assert turned.std(axis=0).max() > 5


def test_each_augmentation_has_its_own_key():
    x = np.tile(X[:1], (64, 1, 1, 1))
    twice = np.asarray(augmented((data.Flip(), data.Flip()), {'x': jnp.asarray(x)}, KEY)['x'])
    changed = np.any(twice != x, axis=(1, 2, 3))
    assert 10 < changed.sum() < 54  # with one key, none


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: data.ResizedCrop((0, 1)), 'scale'),
        (lambda: data.ResizedCrop((0.5, 0.2)), 'scale'),
        (lambda: data.ResizedCrop(ratio=(2, 1)), 'ratio'),
        (lambda: data.Colour(hue=0.6), 'hue=0.6 must be from 0 to 0.5'),
        (lambda: images(data.Colour(), X[..., :2]), 'takes 1 or 3 channels'),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
