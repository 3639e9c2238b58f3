"""The residual networks of SNGAN, SAGAN and R3GAN against definitions in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import (
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from genjax.networks.resnet_gan import ConditionalNorm, SelfAttention

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _with_gamma(params, gamma):
    return {**params, 'gamma': jnp.asarray(gamma)}


def test_attention_is_its_definition_and_starts_at_nothing():
    x = _random(2, 3, 4, 16)
    layer = SelfAttention()
    params = layer.init(KEY, x)['params']
    np.testing.assert_array_equal(layer.apply({'params': params}, x), x)
    kernels = {
        name: np.asarray(params[name]['kernel'], np.float64) for name in params if name != 'gamma'
    }
    assert kernels['query'].shape == (16, 2)
    want = []
    for picture in x.astype(np.float64).reshape(2, 12, 16):
        scores = (picture @ kernels['query']) @ (picture @ kernels['key']).T
        weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        want.append(picture + 0.7 * weights @ (picture @ kernels['value']) @ kernels['out'])
    got = layer.apply({'params': _with_gamma(params, 0.7)}, x)
    np.testing.assert_allclose(got, np.array(want).reshape(x.shape), atol=1e-5)


@pytest.mark.full
def test_spectral_norm_divides_by_the_largest_singular_value():
    """After many power iterations, every linear map of the network has norm 1."""
    x = _random(2, 8, 8, 3)
    network = ResNetDiscriminator(4, num_classes=3)
    label = jnp.array([0, 1])
    variables = network.init(KEY, x, label)
    params, state = variables['params'], {'batch_stats': variables['batch_stats']}
    step = jax.jit(
        lambda state: network.apply(
            {'params': params, **state}, x, label, train=True, mutable=['batch_stats']
        )[1]
    )
    for _ in range(500):
        state = step(state)
    tracked = {
        jax.tree_util.keystr(path): float(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        if 'sigma' in jax.tree_util.keystr(path)
    }
    kernels = {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if 'kernel' in jax.tree_util.keystr(path)
    }
    want = sorted(
        np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        for kernel in kernels.values()
    )
    np.testing.assert_allclose(sorted(tracked.values()), want, rtol=1e-4)


def test_labels_scale_and_shift_the_normalised_features():
    x, label = _random(3, 4, 4, 8), np.eye(2, dtype=np.float32)[[0, 1, 1]]
    layer = ConditionalNorm('group', 'float32')
    variables = layer.init(KEY, x, label, train=True)
    params = variables['params']
    groups = x.astype(np.float64).reshape(3, 16, 2, 4)
    mean, variance = (f(groups, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    normal = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(x.shape)
    scale, shift = (label @ np.asarray(params[name]['kernel']) for name in ('scale', 'shift'))
    want = normal * (1 + scale[:, None, None]) + shift[:, None, None]
    np.testing.assert_allclose(layer.apply(variables, x, label, train=True), want, atol=1e-5)
    assert np.any(scale[0] != scale[1])


@pytest.mark.full
def test_batch_norm_uses_running_averages_in_sampling():
    z = _random(16, 5)
    network = ResNetGenerator((8, 8, 1), 4)
    variables = network.init(KEY, z)
    for _ in range(200):
        _, state = network.apply(variables, z, train=True, mutable=['batch_stats'])
        variables = {**variables, **state}
    trained, _ = network.apply(variables, z, train=True, mutable=['batch_stats'])
    sampled = network.apply(variables, z)
    np.testing.assert_allclose(sampled, trained, atol=1e-3)
    np.testing.assert_allclose(network.apply(variables, z[:1]), sampled[:1], atol=1e-5)


@pytest.mark.parametrize('side', [8, 28, 128])
@pytest.mark.parametrize(
    'networks',
    [(ResNetGenerator, ResNetDiscriminator), (R3GANGenerator, R3GANDiscriminator)],
    ids=['resnet', 'r3gan'],
)
def test_pictures_of_several_sizes(networks, side):
    shape, label = (side, side, 3), jnp.zeros(2, jnp.int32)
    generator = networks[0](shape, 4, 16, num_classes=2)
    discriminator = networks[1](4, 16, num_classes=2)

    def whole(z):
        x = generator.init_with_output(KEY, z, label)[0]
        return x, discriminator.init_with_output(KEY, x, label)[0]

    x, logits = jax.eval_shape(whole, jnp.zeros((2, 5)))
    assert (x.shape, logits.shape) == ((2, *shape), (2,))
    with pytest.raises(UserError, match='4, 5, 6 or 7 times'):
        generator.clone(shape=(36, 36, 3)).init(KEY, jnp.zeros((2, 5)), label)


def test_r3gan_blocks_start_as_their_shortcut():
    """Fixup: with the last convolutions at zero the discriminator is linear in its input."""
    x, y = _random(2, 8, 8, 1), _random(2, 8, 8, 1, seed=1)
    network = R3GANDiscriminator(4, group_size=2)
    variables = network.init(KEY, x)
    apply = lambda x: network.apply(variables, x)  # noqa: E731
    np.testing.assert_allclose(apply(2 * x + y), 2 * apply(x) + apply(y), atol=1e-4)
    assert variables['params']['_Block_0']['Conv_1']['kernel'].shape == (3, 3, 2, 8)


def test_r3gan_for_cifar_has_its_parameters():
    """768 channels on every one of 4 levels, 2 blocks each, 96 groups."""
    discriminator = R3GANDiscriminator(768, 768)
    x = jnp.zeros((1, 32, 32, 3))
    params = jax.eval_shape(lambda x: discriminator.init(KEY, x)['params'], x)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    block = 2 * 768 * 1536 + 9 * (1536 // 96) * 1536 + 2 * 1536
    assert size == 3 * 768 + 4 * 2 * block + 4 * 4 * 768 + 768
