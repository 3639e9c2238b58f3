"""The parts of StyleGAN2 against their definitions in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from genjax.errors import UserError
from genjax.networks import StyleGANDiscriminator, StyleGANGenerator
from genjax.networks.filters import (
    downsample_filtered,
    halving_convolution,
    upsample_filtered,
)
from genjax.networks.image_levels import coarsest, widths
from genjax.networks.stylegan import EqualDense, Mapping, ModulatedConv
from genjax.networks.stylegan_discriminator import group_stddev

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _upfirdn(x, kernel, up=1, down=1, before=0, after=0):
    """Zeros between the pixels and around them, a true convolution, and every `down`-th pixel."""
    batch, height, width, channels = x.shape
    stretched = np.zeros((batch, height * up, width * up, channels), np.float64)
    stretched[:, ::up, ::up] = x
    stretched = np.pad(stretched, ((0, 0), (before, after), (before, after), (0, 0)))
    out = [
        [signal.convolve2d(stretched[b, :, :, c], kernel, 'valid') for c in range(channels)]
        for b in range(batch)
    ]
    return np.moveaxis(np.array(out), 1, -1)[:, ::down, ::down]


def _correlate(x, kernel, padding):
    """x [H, W, I] with kernel [k, k, I, O], as networks convolve: [H', W', O]."""
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0))).astype(np.float64)
    return np.stack(
        [
            sum(
                signal.correlate2d(x[..., i], kernel[..., i, o], 'valid')
                for i in range(kernel.shape[2])
            )
            for o in range(kernel.shape[3])
        ],
        axis=-1,
    )


def test_filters_are_those_of_upfirdn():
    x = _random(2, 6, 8, 3)
    up = _upfirdn(x, 4 * FILTER, up=2, before=2, after=1)
    np.testing.assert_allclose(upsample_filtered(x), up, atol=1e-5)
    down = _upfirdn(x, FILTER, down=2, before=1, after=1)
    np.testing.assert_allclose(downsample_filtered(x), down, atol=1e-5)


def test_halving_convolution_is_the_filter_then_a_strided_convolution():
    x, kernel = _random(2, 6, 8, 3), _random(3, 3, 3, 2, seed=1)
    blurred = _upfirdn(x, FILTER, before=2, after=2)
    want = np.stack([_correlate(picture, kernel, 0)[::2, ::2] for picture in blurred])
    np.testing.assert_allclose(halving_convolution(x, kernel), want, atol=1e-5)


def test_doubling_keeps_a_plane_and_halving_undoes_it_there():
    """Bilinear interpolation is exact on linear functions, away from the border."""
    y, x = np.mgrid[:8, :8].astype(np.float32)
    plane = (2 * x - y)[None, ..., None]
    up = upsample_filtered(plane)
    at = (np.arange(16) - 0.5) / 2
    want = (2 * at[None, :] - at[:, None])[None, ..., None]
    np.testing.assert_allclose(up[:, 2:-2, 2:-2], want[:, 2:-2, 2:-2], atol=1e-5)
    down = downsample_filtered(up)
    np.testing.assert_allclose(down[:, 2:-2, 2:-2], plane[:, 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize('upsample', [False, True])
@pytest.mark.parametrize('demodulate', [False, True])
def test_modulated_convolution_is_that_of_one_kernel_an_example(upsample, demodulate):
    x, w = _random(3, 5, 5, 4), _random(3, 6, seed=1)
    layer = ModulatedConv(2, 3, upsample, demodulate)
    variables = layer.init(KEY, x, w)
    params = jax.tree.map(np.asarray, variables['params'])
    styles = w @ params['style']['kernel'] / math.sqrt(6) + params['style']['bias']
    want = []
    for picture, style in zip(x, styles, strict=True):
        kernel = params['kernel'] / math.sqrt(9 * 4) * style[:, None]
        if demodulate:
            kernel = kernel / np.sqrt(np.sum(kernel**2, axis=(0, 1, 2)) + 1e-8)
        if upsample:  # zeros between the pixels, the convolution, the filter
            stretched = np.zeros((9, 9, 4))
            stretched[::2, ::2] = picture
            # Each source pixel paints the kernel, as a transposed convolution does.
            out = _correlate(stretched, kernel, 2)[None]
            want.append(_upfirdn(out, 4 * FILTER, before=1, after=1)[0])
        else:
            want.append(_correlate(picture, kernel, 1))
    got = layer.apply(variables, x, w)
    assert got.shape == ((3, 10, 10, 2) if upsample else (3, 5, 5, 2))
    np.testing.assert_allclose(got, np.array(want), atol=1e-5)


def test_upsampling_convolution_is_doubling_then_convolving_away_from_the_border():
    x, w = _random(1, 8, 8, 3), _random(1, 4, seed=1)
    layer = ModulatedConv(2, 3, upsample=True)
    variables = layer.init(KEY, x, w)
    plain = ModulatedConv(2, 3).apply(variables, upsample_filtered(x), w)
    got = layer.apply(variables, x, w)
    np.testing.assert_allclose(got[:, 3:-3, 3:-3], plain[:, 3:-3, 3:-3], atol=1e-5)


def test_demodulation_keeps_the_variance_whatever_the_style():
    x, w = _random(2, 32, 32, 16), 10 * _random(2, 8, seed=1)
    layer = ModulatedConv(64, 3)
    out = layer.apply(layer.init(KEY, x, w), x, w)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(np.var(out, axis=(1, 2, 3)), 1.0, rtol=0.1)


def test_mapping_normalises_codes_and_is_its_definition():
    z, label = _random(3, 5), np.array([0, 2, 1])
    mapping = Mapping(6, 2, num_classes=3)
    variables = mapping.init(KEY, z, label)
    params = jax.tree.map(np.asarray, variables['params'])

    def normalised(a):
        return a / np.sqrt(np.mean(a**2, axis=-1, keepdims=True) + 1e-8)

    one_hot = np.eye(3, dtype=np.float32)[label]
    embedding = one_hot @ params['label']['kernel'] / math.sqrt(3) + params['label']['bias']
    h = np.concatenate([normalised(z), normalised(embedding)], axis=-1)
    for name in ('EqualDense_0', 'EqualDense_1'):
        layer = params[name]
        h = h @ layer['kernel'] * 0.01 / math.sqrt(h.shape[-1]) + 0.01 * layer['bias']
        h = np.where(h > 0, h, 0.2 * h) * math.sqrt(2)
    np.testing.assert_allclose(mapping.apply(variables, z, label), h, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        mapping.apply(variables, 7 * z, label), h, rtol=1e-4, atol=1e-5
    )  # the length of a code says nothing


def test_equalised_layers_start_alike_and_learn_at_their_rate():
    x = _random(4096, 64)
    for rate in (1.0, 0.01):
        layer = EqualDense(64, rate=rate)
        variables = layer.init(KEY, x)
        np.testing.assert_allclose(np.var(layer.apply(variables, x)), 1.0, rtol=0.05)
        kernel = variables['params']['kernel']
        np.testing.assert_allclose(np.std(kernel), 1 / rate, rtol=0.05)
        moved = {'params': {**variables['params'], 'kernel': kernel + 1.0}}
        change = layer.apply(moved, x) - layer.apply(variables, x)
        want = np.sum(x, axis=-1, keepdims=True) * rate / 8  # 8: the root of the fan in
        np.testing.assert_allclose(change, np.broadcast_to(want, change.shape), atol=1e-4)


def test_group_stddev_is_its_definition():
    x = _random(6, 3, 3, 2)
    got = group_stddev(x, 3)
    assert got.shape == (6, 3, 3, 1)
    for first in range(2):
        group = x[first::2].astype(np.float64)
        want = np.mean(np.sqrt(np.var(group, axis=0) + 1e-8))
        np.testing.assert_allclose(got[first::2], want, rtol=1e-5)
    np.testing.assert_allclose(group_stddev(x[:2], 4)[0, 0, 0, 0], group_stddev(x[:2], 2)[0, 0, 0])
    with pytest.raises(UserError, match='stddev_group=4 does not divide'):
        group_stddev(x, 4)


def test_discriminator_without_groups_judges_each_example_alone():
    x = _random(4, 8, 8, 1)
    alone = StyleGANDiscriminator(4, stddev_group=0)
    variables = alone.init(KEY, x)
    np.testing.assert_allclose(
        alone.apply(variables, x)[:1], alone.apply(variables, x[:1]), atol=1e-5
    )
    together = StyleGANDiscriminator(4, stddev_group=4)
    variables = together.init(KEY, x)
    a, b = together.apply(variables, x), together.apply(variables, x.repeat(4, axis=0)[:4])
    assert abs(a[0] - b[0]) > 1e-3


@pytest.mark.parametrize('side', [8, 28, 32])
def test_pictures_of_several_sizes(side):
    shape = (side, side, 3)
    generator = StyleGANGenerator(shape, 4, 8, latent_features=6, mapping_layers=1)
    discriminator = StyleGANDiscriminator(4, 8, num_classes=2)
    label = jnp.zeros(4, jnp.int32)

    def whole(z):
        x = generator.init_with_output(KEY, z, None, KEY)[0]
        return x, discriminator.init_with_output(KEY, x, label)[0]

    x, logits = jax.eval_shape(whole, jnp.zeros((4, 5)))
    assert (x.shape, logits.shape) == ((4, *shape), (4,))


def test_a_large_generator_has_the_layers_of_the_paper():
    """StyleGAN2 at 1024 pixels: 18 latents, and about 30 million parameters."""
    generator = StyleGANGenerator((1024, 1024, 3), 32, 512)
    assert generator.num_latents == 18
    params = jax.eval_shape(lambda z: generator.init(KEY, z)['params'], jnp.zeros((1, 512)))
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert 30.0e6 < size < 30.7e6


@pytest.mark.full
def test_each_latent_reaches_its_layers_only():
    """The coarsest features do not see the latents of finer levels, and noise has its strength."""
    generator = StyleGANGenerator((8, 8, 1), 4, 8, latent_features=6, mapping_layers=1)
    variables = generator.init(KEY, jnp.zeros((1, 5)))
    w = jnp.asarray(_random(1, generator.num_latents, 6))

    def picture(w, key=None):
        return generator.apply(variables, w, key, method='synthesise')

    gradient = jax.jacrev(lambda w: picture(w).sum())(w)
    assert np.all(np.any(gradient[0] != 0, axis=-1))  # every one is used
    same = jnp.broadcast_to(w[:, 0], (1, 6))
    repeated = jnp.broadcast_to(w[:, :1], w.shape)
    np.testing.assert_array_equal(picture(same), picture(repeated))
    np.testing.assert_array_equal(picture(w, KEY), picture(w))  # its strength starts at zero


def test_sides():
    assert [coarsest(side) for side in (8, 28, 32, 48, 1024)] == [
        (4, 1), (7, 2), (4, 3), (6, 3), (4, 8)
    ]  # fmt: skip
    assert widths(64, 512, 4) == [64, 128, 256, 512, 512]
    with pytest.raises(UserError, match='a side of 36 pixels'):
        coarsest(36)
