"""Times and labels as vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import LabelEmbedding, TimeEmbedding, TimeMLP
from genjax.networks.embedding import sinusoids

KEY = jax.random.key(0)


def _expected_sinusoids(time, width, shift):
    half = width // 2
    frequencies = np.array([10_000.0 ** (-i / (half - shift)) for i in range(half)])
    angle = np.asarray(time, np.float64)[..., None] * frequencies
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


@pytest.mark.parametrize('shift', [0, 1])
@pytest.mark.parametrize('width', [4, 64])
def test_sinusoids_are_those_of_the_definition(width, shift):
    time = np.linspace(0, 1000, 41, dtype=np.float32).reshape(1, 41)
    got = sinusoids(jnp.asarray(time), width, shift)
    # An angle of 1000 in float32 is 6e-5 from its neighbour.
    np.testing.assert_allclose(got, _expected_sinusoids(time, width, shift), atol=2e-4)


@pytest.mark.parametrize('shape', [(3,), (3, 1), (3, 2)])
def test_time_embedding_is_two_layers_on_sinusoids(shape):
    module = TimeEmbedding(5, scale=30.0, sinusoids=8, freq_shift=1)
    time = jax.random.uniform(KEY, shape)
    variables = module.init(KEY, time)
    waves = _expected_sinusoids(30.0 * np.asarray(time).reshape(3, -1), 8, 1).reshape(3, -1)
    first, last = (variables['params'][f'Dense_{i}'] for i in range(2))
    hidden = waves @ np.asarray(first['kernel'], np.float64) + first['bias']
    hidden = hidden / (1 + np.exp(-hidden))
    want = hidden @ np.asarray(last['kernel'], np.float64) + last['bias']
    np.testing.assert_allclose(module.apply(variables, time), want, rtol=1e-4, atol=1e-5)


def test_a_step_of_the_literature_is_a_thousandth():
    steps = jnp.arange(1000.0)
    variables = TimeEmbedding(16, scale=1.0).init(KEY, steps)
    by_step = TimeEmbedding(16, scale=1.0).apply(variables, steps)
    by_time = TimeEmbedding(16).apply(variables, steps / 1000)
    np.testing.assert_allclose(by_time, by_step, atol=1e-3)


def test_sinusoids_come_in_pairs():
    with pytest.raises(UserError, match='even, not 7'):
        TimeEmbedding(5, sinusoids=7).init(KEY, jnp.zeros(2))


def test_half_precision_keeps_the_phase():
    """The angle is float32: in half precision neighbouring steps would be one."""
    time = jnp.arange(900.0, 1000.0) / 1000
    variables = TimeEmbedding(16).init(KEY, time)
    want = TimeEmbedding(16).apply(variables, time)
    got = TimeEmbedding(16, dtype='bfloat16').apply(variables, time)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(got, np.float32), want, atol=0.05)


def test_no_label_has_its_own_vector():
    module = LabelEmbedding(3, 4)
    variables = module.init(KEY, jnp.zeros(1, int))
    table = variables['params']['Embed_0']['embedding']
    assert table.shape == (4, 4)
    np.testing.assert_array_equal(
        module.apply(variables, jnp.array([3, 0])), table[jnp.array([3, 0])]
    )
    # The same as floats, one-hot, with and without the null condition.
    for vector in (jnp.eye(4)[jnp.array([3, 0])], jnp.eye(3)[jnp.array([2, 0])]):
        rows = jnp.argmax(vector, axis=-1)
        np.testing.assert_array_equal(module.apply(variables, vector), table[rows])
    with pytest.raises(UserError, match='conditions of 3 features was given 5'):
        module.apply(variables, jnp.zeros((2, 5)))
    with pytest.raises(UserError, match=r'needs labels.*the label 3 stands for no label'):
        TimeMLP((2,), 4, num_classes=3).init(KEY, jnp.zeros((1, 2)), jnp.zeros(1))
