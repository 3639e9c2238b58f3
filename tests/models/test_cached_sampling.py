"""Cached sampling draws what whole passes of the network draw."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models import GPT, MADE, FrameModel
from genjax.models.autoregressive import TokenSampling
from genjax.models.conditional import GuidedSampling
from genjax.networks import TCN, MaskedAutoencoder, Recurrent, Transformer
from tests.models.spread import KEY, spread, variables_of
from tests.tiers import few, full

pytestmark = pytest.mark.slow


class Plain(nn.Module):
    """A network without its `step`."""

    inner: nn.Module

    @property
    def shape(self):
        return self.inner.shape

    @property
    def vocab_size(self):
        return self.inner.vocab_size

    def __call__(self, x):
        return self.inner(x)


CACHED = {  # more are in test_conditional.py
    'transformer': Transformer((6,), 7, 8, 2, 2, positions='rotary'),
    'gru': Recurrent((6,), 7, features=5, cell='gru'),
    'tied-bf16': Transformer((6,), 7, 16, 2, 2, dtype='bfloat16'),
    'packed': Transformer((6,), 7, 8, 2, 2, window=3, separator=5, scan=True),
}


@pytest.mark.parametrize('name', few(list(CACHED), ['gru', 'packed']))
def test_cached_and_uncached_sampling_draw_the_same_tokens(name):
    network = CACHED[name]
    cached, plain = (
        GPT(net, end=0, sampling=TokenSampling(1.5)) for net in (network, Plain(network))
    )
    variables = variables_of(cached)
    wrapped = {'params': {'network': {'inner': variables['params']['network']}}, 'state': {}}
    x = jax.jit(cached.sample, static_argnums=2)(variables, KEY, 8)
    same = jax.jit(plain.sample, static_argnums=2)(wrapped, KEY, 8)
    if name == 'tied-bf16':  # sums in another order round to other bits
        assert np.mean(np.asarray(x) == same) > 0.9
    else:
        np.testing.assert_array_equal(x, same)
    ended = np.cumsum(np.asarray(x) == 0, axis=1) > 0
    assert np.all(np.asarray(x)[ended] == 0)
    assert len(np.unique(x)) > 3


@pytest.mark.full
@pytest.mark.parametrize('scan', [full(False), True])
def test_a_cache_that_grows_holds_all_earlier_tokens(scan):
    network = Transformer((130,), 7, 8, 2, 2, positions='rotary', scan=scan)  # 64, 128, 130
    cached, plain = GPT(network), GPT(Plain(network))
    variables = variables_of(cached)
    wrapped = {'params': {'network': {'inner': variables['params']['network']}}, 'state': {}}
    prompt = jax.random.randint(KEY, (3, 60), 0, 7)
    x, same = (
        jax.jit(lambda v, model=model: model.sample(v, KEY, 3, prompt=prompt))(v)
        for model, v in ((cached, variables), (plain, wrapped))
    )
    np.testing.assert_array_equal(x, same)
    np.testing.assert_array_equal(x[:, :60], prompt)


@pytest.mark.full
def test_cached_frames_are_the_same():
    network = TCN((6, 3), features=5, num_layers=2, kernel_size=3)
    within = MaskedAutoencoder(network.shape[1:], (8,))
    cached, plain = FrameModel(network, within), FrameModel(Plain(network), within)
    variables = variables_of(cached)
    params = variables['params']
    wrapped = {'params': {**params, 'network': {'inner': params['network']}}, 'state': {}}
    x = jax.jit(cached.sample, static_argnums=2)(variables, KEY, 8)
    np.testing.assert_array_equal(x, jax.jit(plain.sample, static_argnums=2)(wrapped, KEY, 8))


GUIDED = {'num_classes': 3, 'condition_dropout': 0.1, 'sampling': GuidedSampling(guidance=2.0)}


class ByPasses(MaskedAutoencoder):
    """Without the method for single elements."""

    element = None


@pytest.mark.parametrize(
    'features, options, given',
    [
        ((9, 30), {'num_masks': 3}, {}),  # degrees without units, and with several
        full((20,), {'natural': True, 'direct': False, 'activation': 'sigmoid'}, {}),
        full((20,), {'num_masks': 2}, GUIDED),
    ],
)
def test_made_draws_the_same_bits_unit_by_unit(features, options, given):
    of_units, of_passes = (
        MADE(kind((4, 3, 1), features, **options), **given)
        for kind in (MaskedAutoencoder, ByPasses)
    )
    batch = {'x': jnp.zeros((2, 4, 3, 1)), 'label': jnp.zeros(2, int)}
    variables = jax.jit(lambda: spread(of_units.init(KEY, batch)))()
    drawn = [
        jax.jit(model.sample, static_argnums=2)(variables, KEY, 50)
        for model in (of_units, of_passes)
    ]
    np.testing.assert_array_equal(*drawn)
    assert 0.2 < np.mean(drawn[0]) < 0.8
