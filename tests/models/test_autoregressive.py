"""Autoregressive models: exact masses, mixtures, padding and ends, and half precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GPT, MADE, MDLM, Categorical, FrameModel, LogisticMixture, PixelCNN
from genjax.networks import (
    TCN,
    CausalWindow,
    GatedPixelCNN,
    MaskedAutoencoder,
    PixelCNNPlusPlus,
    Recurrent,
    Transformer,
)
from tests.models.spread import KEY, is_tokens, variables_of
from tests.tiers import few, full

pytestmark = pytest.mark.slow


def _states(model):
    """All of them, of a model of bits."""
    bits = int(np.prod(model.event_shape))
    states = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
    dtype = jnp.int32 if is_tokens(model) else jnp.float32
    return jnp.asarray(states, dtype).reshape(-1, *model.event_shape)


SMALL = Transformer((16,), 2, features=8, num_layers=1, num_heads=2)
BITS = {
    'made': MADE(MaskedAutoencoder((16,), (12,), num_masks=3)),
    'made-two-layers': MADE(MaskedAutoencoder((16,), (12, 9), natural=True, direct=False)),
    'gpt': GPT(SMALL),
    'gpt-end': GPT(SMALL.clone(positions='rotary', tied=False), end=1),
    'gru-frames': FrameModel(Recurrent((4, 4), features=6, cell='gru')),
    'gru-made': FrameModel(
        Recurrent((4, 4), features=6, cell='gru'), MaskedAutoencoder((4,), (8,))
    ),
    'pixelcnn': PixelCNN(GatedPixelCNN((4, 3, 1), 4, 1)),
    'pixelcnn-window': PixelCNN(CausalWindow((4, 3, 1), 1, (8,))),
    'pixelcnn++': PixelCNN(PixelCNNPlusPlus((2, 4, 1), 4, 1, 2), LogisticMixture(2, levels=2)),
}


@pytest.mark.parametrize(
    'name', few(list(BITS), ['made', 'gpt-end', 'gru-made', 'pixelcnn', 'pixelcnn-window'])
)
def test_the_mass_of_all_states_is_one(name):
    model = BITS[name]
    parts = _states(model).reshape(16, -1, *model.event_shape)
    log_prob = jax.jit(lambda variables, x: model.log_prob(variables, x, KEY).value)
    values = np.array([log_prob(variables_of(model), x) for x in parts], np.float64)
    assert np.exp(values).sum() == pytest.approx(1, abs=1e-5)
    assert np.std(values[np.isfinite(values)]) > 0.1


def test_the_channels_of_a_pixel_are_coupled_in_order():
    mixture = LogisticMixture(2, levels=4)
    params = jax.random.normal(KEY, (1, 1, 1, mixture.outputs(3)))
    states = np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing='ij'), -1).reshape(64, 1, 1, 3)
    values = jax.jit(mixture.log_prob)(jnp.repeat(params, 64, 0), jnp.asarray(states))
    assert float(jnp.sum(jnp.exp(values))) == pytest.approx(1, abs=1e-5)
    joint = np.exp(np.asarray(values, np.float64)).reshape(4, 4, 4)
    separate = np.einsum('i,j,k->ijk', joint.sum((1, 2)), joint.sum((0, 2)), joint.sum((0, 1)))
    assert np.abs(joint - separate).max() > 0.005
    x = jax.jit(mixture.sample, static_argnums=2)(jnp.repeat(params, 40_000, 0), KEY, 3)
    index = tuple(np.asarray(x, int).reshape(-1, 3).T)
    shares = np.zeros((4, 4, 4))
    np.add.at(shares, index, 1 / 40_000)
    assert np.abs(shares - joint).max() < 0.01


@pytest.mark.parametrize('levels', [2, 5, 256])
@pytest.mark.parametrize('channels', [1, 3])
def test_logistic_mixtures_sum_to_one_over_the_levels(levels, channels):
    mixture = LogisticMixture(3, levels)
    params = 30 * jax.random.normal(KEY, (1, 5, 1, mixture.outputs(channels)))
    params = jnp.repeat(params, levels, axis=0)
    x = jnp.arange(levels, dtype=jnp.float32)[:, None, None, None] * jnp.ones((1, 5, 1, channels))

    def total(params):
        values = mixture.log_prob(params, x)
        return jnp.sum(values), values

    gradient, values = jax.jit(jax.grad(total, has_aux=True))(params)
    if channels == 1:
        np.testing.assert_allclose(np.exp(values).sum(axis=0), 1, atol=2e-3)
    assert np.all(np.isfinite(gradient))


def test_the_log_prob_of_frames_ignores_padding():
    model = FrameModel(Recurrent((6, 3), features=5, cell='gru'))
    x = jax.random.bernoulli(KEY, 0.4, (2, 6, 3)).astype(jnp.float32)
    padded = x.at[:, 4:].set(-1)
    log_probs = jax.jit(lambda x: model.token_log_probs(variables_of(model), x, KEY))
    (full, _), (short, counted) = map(log_probs, (x, padded))
    np.testing.assert_allclose(short.value[:, :4], full.value[:, :4], rtol=1e-5)
    np.testing.assert_array_equal(short.value[:, 4:], 0)
    np.testing.assert_array_equal(counted, np.arange(6)[None] < 4 * np.ones((2, 1)))


def test_what_follows_an_end_is_certain():
    model = BITS['gpt-end']
    x = jnp.zeros((3, 16), jnp.int32).at[0, 4:].set(1).at[1, 4].set(1)
    values, counted = model.token_log_probs(variables_of(model), x, KEY)
    assert jnp.all(values.value[0, 5:] == 0)
    assert values.value[1, 5] == -jnp.inf
    np.testing.assert_array_equal(jnp.sum(counted, axis=1), [5, 5, 16])


@pytest.mark.parametrize(
    'network',
    [
        Transformer((6,), 7, 16, 1, 2),
        full(Transformer((6,), 7, 16, 1, 2, tied=False)),
        full(Transformer((6,), 7, 16, 1, 2, scan=True, causal=False)),
        Recurrent((6,), 7, 16),
        TCN((6,), 7, 16, 1),
    ],
    ids=['tied', 'untied', 'tied-scan', 'recurrent', 'tcn'],
)
def test_logits_of_half_precision_networks_are_not_rounded(network):
    """bfloat16 has 8 bits: logits near 10 would be .06 apart, and probabilities off by 3 %."""
    network = network.clone(dtype='bfloat16')
    x = jax.random.randint(KEY, (4, 6), 0, 7)
    logits = network.init_with_output(KEY, x)[0]
    assert logits.dtype == jnp.float32
    rounded = logits.astype(jnp.bfloat16).astype(jnp.float32)
    assert np.mean(np.asarray(logits) == rounded) < 0.1


@pytest.mark.full
def test_half_precision_is_close():
    network = Transformer((6,), 7, features=16, num_layers=2, num_heads=2)
    x = jax.random.randint(KEY, (4, 6), 0, 7)
    variables = variables_of(GPT(network))
    full, half = (
        jax.jit(GPT(network.clone(dtype=dtype)).log_prob)(variables, x, KEY).value
        for dtype in ('float32', 'bfloat16')
    )
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, full, rtol=0.03)


def test_mistakes_are_named():
    with pytest.raises(UserError, match='vocab_size'):
        GPT(Recurrent((6, 3), features=5, cell='gru'))
    with pytest.raises(UserError, match='causal=False'):
        MDLM(SMALL)
    with pytest.raises(UserError, match='end=9'):
        GPT(SMALL, end=9)
    with pytest.raises(UserError, match='of tokens'):
        FrameModel(Recurrent((4, 4), vocab_size=3)).init(KEY, {'x': jnp.zeros((1, 4, 4))})
    with pytest.raises(UserError, match=r'within.shape must be \(4,\)'):
        FrameModel(Recurrent((4, 4)), MaskedAutoencoder((5,)))
    with pytest.raises(UserError, match='heads'):
        Transformer((4,), 3, features=9, num_heads=2).init(KEY, jnp.zeros((1, 4), jnp.int32))
    with pytest.raises(UserError, match='divisible'):
        PixelCNNPlusPlus((6, 6, 1), levels=3).init(KEY, jnp.zeros((1, 6, 6, 1)))
    with pytest.raises(UserError, match='levels'):
        Categorical(1)
