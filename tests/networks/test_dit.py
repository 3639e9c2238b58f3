"""The diffusion transformer."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import DiT
from genjax.networks.dit import grid_positions
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
TINY = DiT((8, 12, 2), patch=4, features=16, num_layers=2, num_heads=2, num_classes=3)
X = jax.random.normal(KEY, (3, 8, 12, 2))
TIME, LABEL = jnp.array([0.0, 0.3, 0.8]), jnp.array([0, 2, 3])


def _count(network, channels, side, *label):
    x = jnp.zeros((1, side, side, channels))
    variables = jax.eval_shape(network.init, KEY, x, jnp.zeros(1), *label)
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def _variables(network=TINY):
    """Variables at which no layer is zero."""
    variables = jax.jit(network.init)(KEY, X, TIME, LABEL)
    leaves, treedef = jax.tree.flatten(variables)
    keys = jax.random.split(KEY, len(leaves))
    noisy = [a + 0.2 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(treedef, noisy)


def test_parameter_counts():
    """A small recipe counted by hand; and DiT-XL/2, 675 million (Peebles & Xie, table 4)."""
    label = jnp.zeros(1, int)
    mini = DiT((32, 32, 3), 4, 256, 6, 4, num_classes=10)
    assert _count(mini, 3, 32, label) == 7_391_792
    large = DiT((32, 32, 4), 2, 1152, 28, 16, num_classes=1000, out_channels=8)
    for scan in (False, True):
        assert _count(large.clone(scan=scan), 4, 32, label) == 674_834_720


def test_it_is_the_network_of_the_paper():
    """Written out in NumPy: patches, positions, adaLN-zero blocks, head."""
    variables = _variables()
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), variables['params'])

    def dense(x, layer):
        return x @ layer['kernel'] + layer['bias']

    def silu(x):
        return x / (1 + np.exp(-x))

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)

    def waves(t, width):
        frequency = 10_000.0 ** (-np.arange(width // 2) / (width // 2))
        return np.concatenate([np.cos(t * frequency), np.sin(t * frequency)])

    for x, t, label, got in zip(
        X, TIME, LABEL, jax.jit(TINY.apply)(variables, X, TIME, LABEL), strict=True
    ):
        c = dense(waves(1000.0 * float(t), 256), params['time']['Dense_0'])
        c = (
            dense(silu(c), params['time']['Dense_1'])
            + params['label']['Embed_0']['embedding'][int(label)]
        )
        tokens = []
        for row in range(2):
            for column in range(3):
                patch = np.asarray(x)[4 * row : 4 * row + 4, 4 * column : 4 * column + 4].ravel()
                position = np.concatenate([waves(row, 8), waves(column, 8)])
                tokens.append(dense(patch, params['patches']) + position)
        h = np.stack(tokens)
        for layer in range(2):
            block = params[f'block_{layer}']
            parts = np.split(dense(silu(c), block['modulation']['Dense_0']), 6)
            shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = parts
            qkv = dense(norm(h) * (1 + scale_1) + shift_1, block['qkv']).reshape(-1, 2, 3, 8)
            heads = []
            for i in range(2):
                q, k, v = qkv[:, i].swapaxes(0, 1)
                weight = np.exp(q @ k.T / math.sqrt(8))
                heads.append(weight / weight.sum(-1, keepdims=True) @ v)
            h = h + gate_1 * dense(np.concatenate(heads, axis=-1), block['attention_out'])
            hidden = gelu(dense(norm(h) * (1 + scale_2) + shift_2, block['mlp_in']))
            h = h + gate_2 * dense(hidden, block['mlp_out'])
        shift, scale = np.split(dense(silu(c), params['modulation']['Dense_0']), 2)
        out = dense(norm(h) * (1 + scale) + shift, params['output']).reshape(2, 3, 4, 4, 2)
        want = out.transpose(0, 2, 1, 3, 4).reshape(8, 12, 2)
        np.testing.assert_allclose(got, want, atol=1e-3 * want.std())


def test_positions_tell_every_place_apart():
    positions = np.asarray(grid_positions(3, 5, 16))
    assert positions.shape == (15, 16)
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    assert (distances + np.eye(15) > 0.1).all()


@pytest.mark.full
def test_a_new_network_gives_zero_and_new_blocks_do_nothing():
    """adaLN-zero: whatever the other weights, the blocks' gates are closed."""
    out, variables = jax.jit(TINY.init_with_output)(KEY, X, TIME, LABEL)
    np.testing.assert_array_equal(out, 0)
    params = variables['params']
    params['output']['kernel'] = jax.random.normal(KEY, params['output']['kernel'].shape)
    none = {name: tree for name, tree in params.items() if not name.startswith('block')}
    got = TINY.apply({'params': params}, X, TIME, LABEL)
    want = TINY.clone(num_layers=0).apply({'params': none}, X, TIME, LABEL)
    assert jnp.std(got) > 0.1
    np.testing.assert_array_equal(got, want)


def _stacked(variables):
    params = dict(variables['params'])
    blocks = [params.pop(f'block_{i}') for i in range(2)]
    return {'params': params | {'blocks': jax.tree.map(lambda *a: jnp.stack(a), *blocks)}}


@pytest.mark.parametrize('remat', [full('none'), 'dots', full('full')])
def test_scan_and_remat_change_neither_output_nor_gradient(remat):
    variables = _variables()

    def loss(network, variables):
        return jnp.sum((network.apply(variables, X, TIME, LABEL) - X) ** 2)

    value, gradient = jax.jit(jax.value_and_grad(lambda v: loss(TINY, v)))(variables)
    for network, given, want in (
        (TINY.clone(remat=remat), variables, gradient),
        (TINY.clone(remat=remat, scan=True), _stacked(variables), _stacked(gradient)),
    ):
        one, got = jax.jit(jax.value_and_grad(lambda v, n=network: loss(n, v)))(given)
        np.testing.assert_allclose(one, value, rtol=1e-5)
        for a, b in zip(jax.tree.leaves(want), jax.tree.leaves(got), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(a).max()))


def test_half_precision_stays_close():
    variables = _variables()
    want = jax.jit(TINY.apply)(variables, X, TIME, LABEL)
    low = TINY.clone(dtype='bfloat16')
    got = jax.jit(low.apply)(variables, X, TIME, LABEL)
    assert got.dtype == jnp.float32
    assert float(jnp.sqrt(jnp.mean((got - want) ** 2))) < 0.03 * float(jnp.std(want))
    assert 'bf16' in str(jax.make_jaxpr(low.apply)(variables, X, TIME, LABEL))


def test_examples_do_not_touch_each_other_and_each_input_counts():
    time = jnp.stack([TIME, TIME + 0.1], axis=-1)
    variables = jax.jit(TINY.init)(KEY, X, time, LABEL)
    variables = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(KEY, a.shape), variables)
    apply = jax.jit(TINY.apply)
    out = apply(variables, X, time, LABEL)
    others = jnp.array([0, 2])
    for changed in (
        (X.at[1].add(1), time, LABEL),
        (X, time.at[1, 0].add(0.2), LABEL),
        (X, time.at[1, 1].add(0.2), LABEL),
        (X, time, LABEL.at[1].set(3)),
    ):
        other = apply(variables, *changed)
        np.testing.assert_allclose(other[others], out[others], atol=1e-5)
        assert jnp.max(jnp.abs(other[1] - out[1])) > 1e-3


def test_mistakes_are_named():
    for network, words in (
        (TINY.clone(patch=3), 'patches of 3 do not tile'),
        (TINY.clone(num_heads=3), 'multiple of num_heads=3'),
        (TINY.clone(shape=(8,)), 'do not tile'),
    ):
        with pytest.raises(UserError, match=words):
            jax.eval_shape(network.init, KEY, X, TIME, LABEL)
    with pytest.raises(UserError, match='needs labels'):
        jax.eval_shape(TINY.init, KEY, X, TIME)
