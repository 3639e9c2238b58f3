"""Shapes, precision and state of the networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    ConvNet,
    DCGANDiscriminator,
    DCGANGenerator,
)
from genjax.networks.layers import activation_function
from tests.tiers import full

pytestmark = pytest.mark.slow

SIDES = (8, 9, 28, 32)
KEY = jax.random.key(0)


def _init_and_apply(module, *args, **options):
    def both(key):
        variables = jax.jit(module.init)({'params': key, 'dropout': key}, *args)
        return variables, module.apply(variables, *args, **options)

    return jax.eval_shape(both, KEY)


def test_mlp_without_shape_gives_activated_features():
    module = MLP((7, 5))
    _, features = jax.jit(lambda key: (0, module.init_with_output(key, jnp.ones((3, 2, 2)))[0]))(
        KEY
    )
    assert features.shape == (3, 5)
    assert jnp.all(features >= 0)


def test_frequencies_append_sines_and_cosines():
    """As if they had been given to a network without."""
    x = jax.random.normal(KEY, (5, 2))
    waves = jnp.concatenate([x, jnp.sin(3 * x), jnp.cos(3 * x)], axis=-1)
    variables = MLP((4,), frequencies=(3.0,)).init(KEY, x)
    got = MLP((4,), frequencies=(3.0,)).apply(variables, x)
    np.testing.assert_allclose(got, MLP((4,)).apply(variables, waves), rtol=1e-6)


@pytest.mark.parametrize('scale', [0.0, 0.7])
def test_hidden_biases_start_as_wide_as_told(scale):
    params = MLP((2000, 2000), shape=(2,), bias_scale=scale).init(KEY, jnp.ones((1, 1)))['params']
    for layer in ('Dense_0', 'Dense_1'):
        assert jnp.std(params[layer]['bias']) == pytest.approx(scale, rel=0.1)
    np.testing.assert_array_equal(params['output']['bias'], 0)


@pytest.mark.parametrize('shape', [(), (4,), (3, 2, 1)])
def test_mlp_with_shape_ends_linear(shape):
    module = MLP((7,), shape=shape)
    x = jax.random.normal(KEY, (64, 6))
    out = module.init_with_output(KEY, x)[0]
    assert out.shape == (64, *shape)
    assert jnp.any(out < 0)


def test_batch_norm_of_hidden_layers_against_numpy():
    module = MLP((7,), shape=(2,), norm='batch')
    x = jax.random.normal(KEY, (64, 3))
    variables = module.init(KEY, x)
    layer, output = (variables['params'][name] for name in ('Dense_0', 'output'))
    h = np.asarray(x @ layer['kernel'] + layer['bias'])
    mean, variance = h.mean(axis=0), h.var(axis=0)

    def rest(h):
        return np.maximum(h, 0) @ np.asarray(output['kernel']) + np.asarray(output['bias'])

    got, new = module.apply(variables, x, train=True, mutable=['batch_stats'])
    want = rest((h - mean) / np.sqrt(variance + 1e-5))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    (averages,) = new['batch_stats'].values()
    np.testing.assert_allclose(averages['mean'], 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(averages['var'], 0.9 + 0.1 * variance, rtol=1e-4)
    want = rest((h - averages['mean']) / np.sqrt(averages['var'] + 1e-5))
    got = module.apply({**variables, **new}, x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('side', SIDES)
@pytest.mark.parametrize('levels', [(8,), (8, 12), (8, 8, 8)])
def test_conv_networks_fit_any_size(side, levels):
    shape = (side, side + 1, 2)
    _, features = _init_and_apply(ConvEncoder(levels), jnp.zeros((2, *shape)))
    smallest = [-(-s // 2 ** (len(levels) - 1)) for s in shape[:2]]
    assert features.shape == (2, smallest[0] * smallest[1] * levels[-1])
    _, pictures = _init_and_apply(ConvDecoder(shape, levels), jnp.zeros((2, 5)))
    assert pictures.shape == (2, *shape)


@pytest.mark.parametrize('side', [*SIDES, 63])
@pytest.mark.parametrize('norm', ['group', 'batch', 'none'])
def test_dcgan_fits_any_square(side, norm):
    shape = (side, side, 3)
    _, x = _init_and_apply(DCGANGenerator(shape, 4, norm), jnp.zeros((2, 5)))
    assert x.shape == (2, *shape)
    _, logits = _init_and_apply(DCGANDiscriminator(4), jnp.zeros((2, *shape)))
    assert logits.shape == (2,)


@pytest.mark.parametrize(
    ('module', 'x'),
    [
        (ConvEncoder(), jnp.zeros((1, 7, 8, 1))),
        (ConvEncoder(), jnp.zeros((1, 8))),
        (ConvDecoder((4, 4, 1)), jnp.zeros((1, 8))),
        (DCGANGenerator((8, 9, 1)), jnp.zeros((1, 8))),
        (DCGANDiscriminator(), jnp.zeros((1, 8, 9, 1))),
    ],
)
def test_other_shapes_are_refused(module, x):
    with pytest.raises(UserError, match='works on'):
        jax.eval_shape(module.init, KEY, x)


NETWORKS = (
    (MLP((16,), shape=(3,)), (2, 8, 8, 1)),
    full(MLP((16,)), (2, 8, 8, 1)),
    full(ConvEncoder((8, 8)), (2, 8, 8, 1)),
    (ConvDecoder((8, 8, 1), (8, 8)), (2, 4)),
    (DCGANGenerator((8, 8, 1), 4, norm='batch'), (2, 4)),
    (DCGANDiscriminator(4, spectral_norm=True), (2, 8, 8, 1)),
)


@pytest.mark.parametrize(('module', 'shape'), NETWORKS)
def test_bf16_keeps_parameters_in_float32_and_stays_close(module, shape):
    x = jax.random.normal(KEY, shape)
    variables = jax.jit(module.init)(KEY, x)
    low = module.clone(dtype='bfloat16')
    low_variables = jax.jit(low.init)(KEY, x)
    for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(low_variables), strict=True):
        assert a.dtype == b.dtype == jnp.float32
    want, got = jax.jit(module.apply)(variables, x), jax.jit(low.apply)(variables, x)
    np.testing.assert_allclose(
        np.asarray(got, np.float32), want, atol=0.05 * float(jnp.std(want)) + 0.02
    )
    emits_data = getattr(module, 'shape', None) is not None or want.ndim == 1
    assert got.dtype == (jnp.float32 if emits_data else jnp.bfloat16)


@pytest.mark.parametrize(('module', 'shape'), NETWORKS)
def test_bf16_is_really_used(module, shape):
    x = jnp.zeros(shape)
    variables = jax.jit(module.init)(KEY, x)
    text = str(jax.make_jaxpr(module.clone(dtype='bfloat16').apply)(variables, x))
    assert 'bf16' in text


@pytest.mark.parametrize(
    ('module', 'shape'),
    [
        (MLP((16,), shape=(), num_classes=3), (2, 5)),
        full(DCGANGenerator((8, 8, 1), 4, num_classes=3), (2, 5)),
        (DCGANDiscriminator(4, num_classes=3), (2, 8, 8, 1)),
    ],
)
def test_labels_matter_and_must_be_given(module, shape):
    x = jax.random.normal(KEY, shape)
    variables = jax.jit(module.init)(KEY, x, jnp.array([0, 0]))
    a = module.apply(variables, x, jnp.array([0, 1]))
    b = module.apply(variables, x, jnp.array([0, 2]))
    assert jnp.all(a[0] == b[0])
    assert jnp.any(a[1] != b[1])
    with pytest.raises(UserError, match='needs labels'):
        module.apply(variables, x)


def test_dropout_acts_in_training_only():
    module = MLP((64,), dropout=0.5)
    x = jax.random.normal(KEY, (4, 8))
    variables = jax.jit(module.init)(KEY, x)
    plain = module.apply(variables, x)
    dropped = module.apply(variables, x, train=True, rngs={'dropout': KEY})
    kept = (dropped != 0) & (plain != 0)
    assert jnp.any((dropped == 0) & (plain != 0))
    np.testing.assert_allclose(dropped[kept], 2 * plain[kept], rtol=1e-6)


def test_spectral_norm_converges_to_the_largest_singular_value():
    module = DCGANDiscriminator(4, spectral_norm=True, num_classes=3)
    x, label = jax.random.normal(KEY, (2, 8, 8, 1)), jnp.array([0, 1])
    variables = jax.jit(module.init)(KEY, x, label)
    update = jax.jit(lambda v: module.apply(v, x, label, train=True, mutable=['batch_stats'])[1])
    for _ in range(100):
        variables = {**variables, **update(variables)}
    checked = 0
    for stats in variables['batch_stats'].values():
        for name, sigma in stats.items():
            layer, weight, what = name.split('/')
            if what == 'sigma':
                kernel = np.asarray(variables['params'][layer][weight])
                singular = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)
                np.testing.assert_allclose(sigma, singular[0], rtol=1e-3)
                checked += 1
    assert checked == len(variables['params'])


def test_batch_norm_state_changes_in_training_only():
    module = DCGANGenerator((8, 8, 1), 4, norm='batch')
    z = jax.random.normal(KEY, (4, 3))
    variables = jax.jit(module.init)(KEY, z)
    _, new = module.apply(variables, z, train=True, mutable=['batch_stats'])
    before, after = jax.tree.leaves(variables['batch_stats']), jax.tree.leaves(new)
    assert all(jnp.any(a != b) for a, b in zip(before, after, strict=True))
    _, same = module.apply(variables, z, mutable=['batch_stats'])
    assert all(
        jnp.all(a == b) for a, b in zip(before, jax.tree.leaves(same['batch_stats']), strict=True)
    )


def test_initial_activations_keep_their_size():
    """Deep networks neither vanish nor explode at the start."""
    x = jax.random.normal(KEY, (256, 32))
    out = jax.jit(MLP((128,) * 8).init_with_output)(KEY, x)[0]
    assert 0.3 < float(jnp.sqrt(jnp.mean(out**2))) < 3
    pictures = jax.random.normal(KEY, (16, 16, 16, 3))
    features = jax.jit(ConvEncoder((16, 16), num_blocks=4).init_with_output)(KEY, pictures)[0]
    assert 0.3 < float(jnp.std(features)) < 3


def test_activation_names():
    assert activation_function('tanh') is jax.nn.tanh
    assert activation_function(jnp.sin) is jnp.sin
    assert activation_function('leaky_relu')(-1.0) == pytest.approx(-0.2)
    with pytest.raises(UserError, match="did you mean 'relu'"):
        activation_function('rleu')


def test_pooling_takes_the_largest_of_each_patch():
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 1)).astype(np.float32)
    pooled, plain = ConvNet((4,), pool=2), ConvNet((4,))
    params = plain.init(KEY, x)
    full = np.pad(plain.apply(params, x), ((0, 0), (0, 1), (0, 0), (0, 0)))  # activations are >= 0
    want = full.reshape(2, 4, 2, 4, 2, 4).max((2, 4))
    np.testing.assert_array_equal(pooled.apply(params, x), want)
