"""The U-Net; that its outputs are those of another library is tested in test_convert.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import UNet
from genjax.networks.layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from genjax.networks.unet import TimedBlock, resize

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
TINY = UNet((8, 8, 1), features=(8, 16), num_blocks=1, attention_at=(4,), head_features=8)

SMALLEST = UNet((8, 8, 1), features=(8,), num_blocks=1, attention_at=(8,), head_features=8)


def _perturbed(network, x, *args):
    """Variables at which no layer is zero."""
    variables = jax.jit(network.init)(KEY, x, *args)
    leaves, treedef = jax.tree.flatten(variables)
    keys = jax.random.split(KEY, len(leaves))
    noisy = [a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(treedef, noisy)


def test_parameter_count_of_a_published_recipe():
    """Computed by hand from its layers: 64, 128, 128 channels, attention at 16, heads of 8."""
    network = UNet((32, 32, 1), (64, 128, 128), 1, (16,), 8, groups=32, scale_shift=False)
    variables = jax.eval_shape(network.init, KEY, jnp.zeros((1, 32, 32, 1)), jnp.zeros(1))
    sizes = {
        name: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for name, tree in variables['params'].items()
    }
    for part, size in {
        'input': 640,
        'time': 82_432,
        'down_0': 127_488,
        'down_1': 476_928,
        'down_2': 328_576,
        'middle': 723_456,
        'up_2': 1_165_952,
        'up_1': 1_216_512,
        'up_0': 312_704,
        'norm': 128,
        'output': 577,
    }.items():
        assert sum(n for name, n in sizes.items() if name.startswith(part)) == size, part
    assert sum(sizes.values()) == 4_435_393


@pytest.mark.parametrize('shape', [(8, 8, 1), (28, 28, 1), (9, 15, 3)])
@pytest.mark.parametrize('resample', ['conv', 'block'])
def test_it_fits_any_size(shape, resample):
    network = UNet(shape, features=(8, 8, 8), num_blocks=1, resample=resample)
    x = jnp.zeros((2, *shape))
    out, _ = jax.eval_shape(network.init_with_output, KEY, x, jnp.zeros(2))
    assert out.shape == x.shape
    assert out.dtype == jnp.float32


@pytest.mark.full
def test_a_new_network_gives_zero_and_a_new_block_its_input():
    x = jax.random.normal(KEY, (2, 8, 8, 1))
    out = jax.jit(SMALLEST.init_with_output)(KEY, x, jnp.ones(2))[0]
    np.testing.assert_array_equal(out, 0)
    x = jax.random.normal(KEY, (2, 5, 7, 4))
    condition = jax.random.normal(KEY, (2, 3))
    out = jax.jit(TimedBlock(4).init_with_output)(KEY, x, condition)[0]
    np.testing.assert_array_equal(out, x)
    out = jax.jit(TimedBlock(4, size=(3, 4)).init_with_output)(KEY, x, condition)[0]
    np.testing.assert_allclose(out[:, 1, 2], x[:, 2:4, 4:6].mean((1, 2)), rtol=1e-6)


def test_halving_averages_and_doubling_repeats():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 2)).astype(np.float32)
    halved = resize(jnp.asarray(x), (2, 3))
    assert halved.shape == (2, 2, 3, 2)
    for row in range(2):
        for column in range(3):
            pixels = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_allclose(halved[:, row, column], pixels.mean((1, 2)), rtol=1e-5)
    doubled = resize(jnp.asarray(x), (5, 10))
    np.testing.assert_array_equal(doubled, x.repeat(2, axis=1).repeat(2, axis=2)[:, :5])


@pytest.mark.parametrize(('channels', 'groups'), [(12, None), (12, 3), (6, None), (5, 1)])
def test_group_norm_is_that_of_the_definition(channels, groups):
    used = groups or {12: 1, 6: 1}[channels]
    rng = np.random.default_rng(0)
    x = (3 * rng.normal(size=(4, 3, 5, channels)) + 2).astype(np.float32)
    params = {name: rng.normal(size=channels).astype(np.float32) for name in ('scale', 'bias')}
    split = x.astype(np.float64).reshape(4, 15, used, -1)
    normal = (split - split.mean((1, 3), keepdims=True)) / np.sqrt(
        split.var((1, 3), keepdims=True) + 1e-5
    )
    want = normal.reshape(x.shape) * params['scale'] + params['bias']
    got = GroupNorm(groups=groups, epsilon=1e-5).apply({'params': params}, x)
    np.testing.assert_allclose(got, want, atol=2e-5)
    with pytest.raises(UserError, match='5 groups do not divide'):
        GroupNorm(groups=5).init(KEY, jnp.zeros((1, 2, 12)))


def test_norms_keep_a_variance_of_one_beside_a_mean_of_ten_thousand():
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 16)).astype(np.float32)
    norms = GroupNorm(), LayerNorm(), InstanceNorm(), BatchNorm(use_running_average=False)
    for norm in norms:
        plain, _ = norm.init_with_output(KEY, x)
        moved, variables = norm.init_with_output(KEY, x + 1e4)
        np.testing.assert_allclose(moved, plain, atol=0.01, err_msg=type(norm).__name__)
    assert 'batch_stats' in variables


@pytest.mark.full
@pytest.mark.parametrize('remat', ['dots', 'full'])
def test_remat_changes_no_gradient(remat):
    network = SMALLEST.clone(dropout=0.1)
    x, time = jax.random.normal(KEY, (2, 8, 8, 1)), jnp.array([0.1, 0.7])
    variables = _perturbed(network, x, time)

    def gradient(network):
        def loss(variables):
            out = network.apply(variables, x, time, train=True, rngs={'dropout': KEY})
            return jnp.sum((out - x) ** 2)

        return jax.jit(jax.grad(loss))(variables)

    plain, again = gradient(network), gradient(network.clone(remat=remat))
    assert jax.tree.structure(plain) == jax.tree.structure(again)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(jnp.abs(a).max()))


@pytest.mark.full
@pytest.mark.parametrize('scale_shift', [False, True])
def test_half_precision_stays_close(scale_shift):
    network = SMALLEST.clone(scale_shift=scale_shift, num_classes=3)
    x, time, label = jax.random.normal(KEY, (2, 8, 8, 1)), jnp.array([0.1, 0.7]), jnp.array([0, 3])
    variables = _perturbed(network, x, time, label)
    want = jax.jit(network.apply)(variables, x, time, label)
    low = network.clone(dtype='bfloat16')
    got = jax.jit(low.apply)(variables, x, time, label)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, atol=0.05 * float(jnp.std(want)) + 0.02)
    made = jax.eval_shape(low.init, KEY, x, time, label)
    assert {a.dtype for a in jax.tree.leaves(made)} == {jnp.dtype('float32')}


def test_examples_do_not_touch_each_other_and_each_input_counts():
    network = SMALLEST.clone(num_classes=3)
    x, label = jax.random.normal(KEY, (3, 8, 8, 1)), jnp.array([0, 1, 3])
    time = jnp.array([[0.1, 0.2], [0.5, 0.6], [0.9, 1.0]])
    variables = _perturbed(network, x, time, label)
    apply = jax.jit(network.apply)
    out = apply(variables, x, time, label)
    for changed in (
        (x.at[1].add(1), time, label),
        (x, time.at[1, 0].add(0.2), label),
        (x, time.at[1, 1].add(0.2), label),
        (x, time, label.at[1].set(3)),
    ):
        other = apply(variables, *changed)
        np.testing.assert_allclose(other[jnp.array([0, 2])], out[jnp.array([0, 2])], atol=1e-5)
        assert jnp.max(jnp.abs(other[1] - out[1])) > 1e-3


def test_mistakes_are_named():
    for network, words in (
        (TINY.clone(attention_at=(5,)), r'attention_at has 5, the levels have \[8, 4\]'),
        (TINY.clone(shape=(8,)), 'UNet works on pictures'),
        (TINY.clone(num_classes=3), 'needs labels'),
    ):
        with pytest.raises(UserError, match=words):
            jax.eval_shape(network.init, KEY, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1))
