"""The denoiser of vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.networks import TimeEmbedding, TimeMLP

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (3, 2, 3))
TIME, LABEL = jnp.array([[0.0, 0.1], [0.3, 0.5], [0.8, 1.0]]), jnp.array([0, 2, 3])
NETWORK = TimeMLP((2, 3), features=8, num_layers=2, frequencies=(2.0,), num_classes=3)


def _variables():
    variables = jax.jit(NETWORK.init)(KEY, X, TIME, LABEL)
    return jax.tree.map(lambda a: a + 0.1 * jax.random.normal(KEY, a.shape), variables)


def test_it_is_residual_blocks_between_which_the_time_is_added():
    variables = _variables()
    params = variables['params']

    def dense(x, name):
        return x @ np.asarray(params[name]['kernel']) + params[name]['bias']

    def silu(x):
        return x / (1 + np.exp(-x))

    condition = TimeEmbedding(8).apply({'params': params['time']}, TIME)
    condition = silu(condition + params['label']['Embed_0']['embedding'][LABEL])
    x = np.asarray(X).reshape(3, 6)
    h = dense(np.concatenate([x, np.sin(2 * x), np.cos(2 * x)], axis=-1), 'input')
    for i in range(2):
        inner = dense(silu(h), f'block_{i}_in') + dense(condition, f'block_{i}_condition')
        h = h + dense(silu(inner), f'block_{i}_out')
    want = dense(silu(h), 'output').reshape(3, 2, 3)
    np.testing.assert_allclose(NETWORK.apply(variables, X, TIME, LABEL), want, atol=1e-5)


def test_a_new_network_gives_zero():
    np.testing.assert_array_equal(NETWORK.init_with_output(KEY, X, TIME, LABEL)[0], 0)


def test_dropout_acts_in_training_only():
    variables, network = _variables(), NETWORK.clone(dropout=0.5)
    plain = NETWORK.apply(variables, X, TIME, LABEL)
    np.testing.assert_array_equal(network.apply(variables, X, TIME, LABEL), plain)
    dropped = network.apply(variables, X, TIME, LABEL, train=True, rngs={'dropout': KEY})
    assert jnp.all(dropped != plain)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_half_precision_stays_close(dtype):
    variables = _variables()
    want = NETWORK.apply(variables, X, TIME, LABEL)
    got = NETWORK.clone(dtype=dtype).apply(variables, X, TIME, LABEL)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, atol=0.05 * float(jnp.std(want)))
