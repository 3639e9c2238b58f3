"""Autoregressive models: exact masses, causality, cached sampling, and the algebra of decoding."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import (
    GPT,
    MADE,
    MDLM,
    Categorical,
    FrameModel,
    LogisticMixture,
    MaskGIT,
    PixelCNN,
)
from genjax.models.autoregressive import TokenSampling
from genjax.models.autoregressive.decoding import filter_logits, keep_top_k, keep_top_p
from genjax.models.conditional import GuidedSampling
from genjax.models.diffusion import Confidence, MaskGITSampling
from genjax.models.sampling_options import with_sampling
from genjax.networks import (
    TCN,
    CausalWindow,
    GatedPixelCNN,
    MaskedAutoencoder,
    PixelCNNPlusPlus,
    Recurrent,
    Transformer,
)

pytestmark = pytest.mark.slow

KEY = jax.random.key(3)


def _spread(tree, scale=0.5):
    """Adds noise to every leaf, so that nothing is at its initial value of 0."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    noisy = [a + scale * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, noisy)


@functools.cache
def _variables(model):
    x = jnp.zeros((2, *model.event_shape), jnp.int32 if _is_tokens(model) else jnp.float32)
    return jax.jit(lambda: _spread(model.init(KEY, {'x': x})))()


def _is_tokens(model):
    return getattr(model.network, 'vocab_size', None) is not None


def _states(model):
    """All of them, of a model of bits."""
    bits = int(np.prod(model.event_shape))
    states = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
    dtype = jnp.int32 if _is_tokens(model) else jnp.float32
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


@pytest.mark.parametrize('name', BITS)
def test_the_mass_of_all_states_is_one(name):
    model = BITS[name]
    parts = _states(model).reshape(16, -1, *model.event_shape)
    log_prob = jax.jit(lambda variables, x: model.log_prob(variables, x, KEY).value)
    values = np.array([log_prob(_variables(model), x) for x in parts], np.float64)
    assert np.exp(values).sum() == pytest.approx(1, abs=1e-5)
    assert np.std(values[np.isfinite(values)]) > 0.1


SEQUENCES = {
    'transformer': Transformer((6, 3), features=8, num_layers=2, num_heads=2, positions='rotary'),
    'transformer-scan': Transformer((6, 3), features=8, num_layers=2, num_heads=2, scan=True),
    'transformer-remat': Transformer((6, 3), None, 8, 2, 2, scan=True, remat='dots'),
    'lstm': Recurrent((6, 3), features=5, num_layers=2),
    'gru': Recurrent((6, 3), features=5, cell='gru'),
    'tcn': TCN((6, 3), features=5, num_layers=2, kernel_size=3),
}


def _touched(network, places, features):
    """Whether the output at a place (row) has a gradient at the input of another (column)."""
    x = jax.random.normal(KEY, (1, *places, *features))
    params = jax.jit(lambda: _spread(network.init(KEY, x), 0.3))()
    size = int(np.prod(places))

    @jax.jit
    def gradient(place):
        def output(x):
            return jnp.sum(network.apply(params, x).reshape(size, -1)[place] ** 2)

        return jax.grad(output)(x).reshape(size, -1)

    return np.array([np.any(np.asarray(gradient(place)) != 0, axis=-1) for place in range(size)])


@pytest.mark.parametrize('name', [name for name in SEQUENCES if name != 'transformer-scan'])
def test_sequence_networks_are_causal(name):
    touched = _touched(SEQUENCES[name], (6,), (3,))
    np.testing.assert_array_equal(touched, np.tri(6, dtype=bool))


@pytest.mark.parametrize(
    'network',
    [
        GatedPixelCNN((6, 5, 4), 5, 2),
        PixelCNNPlusPlus((6, 4, 4), 4, 1, 2),
        CausalWindow((4, 3, 4), 3, (20,)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_pixel_depends_on_all_before_it_and_on_none_after(network):
    touched = _touched(network, network.shape[:2], (2,))
    np.testing.assert_array_equal(touched, np.tri(len(touched), k=-1, dtype=bool))


@pytest.mark.parametrize('natural', [False, True])
def test_made_depends_on_what_precedes_in_each_ordering(natural):
    network = MaskedAutoencoder((6,), (40, 40), num_masks=3, natural=natural, activation='tanh')
    x = jax.random.normal(KEY, (6,))

    @jax.jit
    def jacobians(x):
        params = _spread(network.init(KEY, x[None]))
        return jax.vmap(
            lambda index: jax.jacrev(lambda x: network.apply(params, x[None], index)[0])(x)
        )(jnp.arange(3))

    orders = network.degrees()[0]
    assert len({tuple(order) for order in orders}) == (1 if natural else 3)
    for order, jacobian in zip(orders, np.asarray(jacobians(x)), strict=True):
        np.testing.assert_array_equal(jacobian != 0, order[None, :] < order[:, None])


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


CACHED = {
    name: network.clone(shape=(6,), vocab_size=7)
    for name, network in SEQUENCES.items()
    # transformer-remat is of training alone; the others are in test_conditional.py.
    if name in ('transformer', 'gru')
} | {
    'tied-bf16': Transformer((6,), 7, 16, 2, 2, dtype='bfloat16'),
    'packed': Transformer((6,), 7, 8, 2, 2, window=3, separator=5, scan=True),
}


@pytest.mark.parametrize('name', CACHED)
def test_cached_and_uncached_sampling_draw_the_same_tokens(name):
    network = CACHED[name]
    cached, plain = (
        GPT(net, end=0, sampling=TokenSampling(1.5)) for net in (network, Plain(network))
    )
    variables = _variables(cached)
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


@pytest.mark.parametrize('scan', [False, True])
def test_a_cache_that_grows_holds_all_earlier_tokens(scan):
    network = Transformer((130,), 7, 8, 2, 2, positions='rotary', scan=scan)  # 64, 128, 130
    cached, plain = GPT(network), GPT(Plain(network))
    variables = _variables(cached)
    wrapped = {'params': {'network': {'inner': variables['params']['network']}}, 'state': {}}
    prompt = jax.random.randint(KEY, (3, 60), 0, 7)
    x, same = (
        jax.jit(lambda v, model=model: model.sample(v, KEY, 3, prompt=prompt))(v)
        for model, v in ((cached, variables), (plain, wrapped))
    )
    np.testing.assert_array_equal(x, same)
    np.testing.assert_array_equal(x[:, :60], prompt)


def test_cached_frames_are_the_same():
    network = SEQUENCES['tcn']
    within = MaskedAutoencoder(network.shape[1:], (8,))
    cached, plain = FrameModel(network, within), FrameModel(Plain(network), within)
    variables = _variables(cached)
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
        ((20,), {'natural': True, 'direct': False, 'activation': 'sigmoid'}, {}),
        ((20,), {'num_masks': 2}, GUIDED),
    ],
)
def test_made_draws_the_same_bits_unit_by_unit(features, options, given):
    of_units, of_passes = (
        MADE(kind((4, 3, 1), features, **options), **given)
        for kind in (MaskedAutoencoder, ByPasses)
    )
    batch = {'x': jnp.zeros((2, 4, 3, 1)), 'label': jnp.zeros(2, int)}
    variables = jax.jit(lambda: _spread(of_units.init(KEY, batch)))()
    drawn = [
        jax.jit(model.sample, static_argnums=2)(variables, KEY, 50)
        for model in (of_units, of_passes)
    ]
    np.testing.assert_array_equal(*drawn)
    assert 0.2 < np.mean(drawn[0]) < 0.8


def test_the_log_prob_of_frames_ignores_padding():
    model = FrameModel(SEQUENCES['gru'])
    x = jax.random.bernoulli(KEY, 0.4, (2, 6, 3)).astype(jnp.float32)
    padded = x.at[:, 4:].set(-1)
    log_probs = jax.jit(lambda x: model.token_log_probs(_variables(model), x, KEY))
    (full, _), (short, counted) = map(log_probs, (x, padded))
    np.testing.assert_allclose(short.value[:, :4], full.value[:, :4], rtol=1e-5)
    np.testing.assert_array_equal(short.value[:, 4:], 0)
    np.testing.assert_array_equal(counted, np.arange(6)[None] < 4 * np.ones((2, 1)))


def test_what_follows_an_end_is_certain():
    model = BITS['gpt-end']
    x = jnp.zeros((3, 16), jnp.int32).at[0, 4:].set(1).at[1, 4].set(1)
    values, counted = model.token_log_probs(_variables(model), x, KEY)
    assert jnp.all(values.value[0, 5:] == 0)
    assert values.value[1, 5] == -jnp.inf
    np.testing.assert_array_equal(jnp.sum(counted, axis=1), [5, 5, 16])


def _nucleus(logits, p):
    probability = np.exp(logits - np.max(logits))
    probability /= probability.sum()
    order = np.argsort(-probability)
    size = int(np.searchsorted(np.cumsum(probability[order]), p)) + 1
    kept = np.full(len(logits), -np.inf)
    kept[order[:size]] = logits[order[:size]]
    return kept


@pytest.mark.parametrize('p', [0.0, 0.2, 0.55, 0.9, 1.0])
def test_top_p_against_its_definition(p):
    logits = np.asarray(2 * jax.random.normal(KEY, (20, 9)))
    want = np.stack([_nucleus(row, min(p, 0.999999)) for row in logits])
    np.testing.assert_array_equal(keep_top_p(jnp.asarray(logits), p), want)


@pytest.mark.parametrize('k', [1, 3, 9, 50])
def test_top_k_against_its_definition(k):
    logits = np.asarray(jax.random.normal(KEY, (20, 9)))
    rank = np.argsort(np.argsort(-logits, axis=-1), axis=-1)
    np.testing.assert_array_equal(
        keep_top_k(jnp.asarray(logits), k), np.where(rank < k, logits, -np.inf)
    )


def test_filters_come_one_after_the_other():
    logits = jnp.log(jnp.array([0.5, 0.25, 0.15, 0.1]))
    got = filter_logits(logits, 0.5, top_k=3, top_p=0.9)
    assert np.isfinite(np.asarray(got)).tolist() == [True, True, False, False]
    np.testing.assert_allclose(got[:2], 2 * logits[:2], rtol=1e-6)
    model = GPT(SMALL, sampling=TokenSampling(top_k=1))
    x = model.sample(_variables(model), KEY, 4)
    np.testing.assert_array_equal(x, jnp.broadcast_to(x[0], x.shape))


def test_temperatures_down_to_zero_and_options_out_of_range():
    """A temperature of 0 is the limit: the most probable token, whatever the sign of its logit."""
    logits = jnp.array([[-3.0, -1.0, -1.0, -jnp.inf], [2.0, 5.0, 0.0, 4.0]])
    for temperature in (0, 0.0, 1e-45, 1e-38, 1e-30):
        got = jax.nn.softmax(filter_logits(logits, temperature, top_k=3, top_p=0.9))
        np.testing.assert_array_equal(got[1], [0, 1, 0, 0])
        assert got[0, 1] > 0.4 and got[0, 0] == got[0, 3] == 0
    each = jnp.array([[0.0], [1.0]])
    got = filter_logits(logits, each)
    np.testing.assert_array_equal(got, [[-jnp.inf, 0, -jnp.inf, -jnp.inf], logits[1]])
    greedy = GPT(SMALL, sampling=TokenSampling(0.0))
    variables = _variables(greedy)
    x = greedy.sample(variables, KEY, 3)
    np.testing.assert_array_equal(
        x, GPT(SMALL, sampling=TokenSampling(top_k=1)).sample(variables, KEY, 3)
    )
    for options in (
        {'temperature': -1.0}, {'temperature': np.nan}, {'temperature': np.inf}, {'top_k': 0},
        {'top_k': -1}, {'top_p': 0.0}, {'top_p': 1.01}, {'top_p': -0.1}, {'top_p': np.nan},
    ):  # fmt: skip
        (name,) = options
        with pytest.raises(UserError, match=f'TokenSampling.{name} must be'):
            TokenSampling(**options)
        with pytest.raises(UserError, match=f'{name} must be'):
            filter_logits(logits, **options)
    with pytest.raises(UserError, match='temperature must be at least 0'):
        filter_logits(logits, jnp.array([[1.0], [-1.0]]))
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(
            UserError, match=r'MaskGITSampling\.choice_temperature must be at least 0'
        ):
            MaskGITSampling(choice_temperature=value)
        with pytest.raises(UserError, match=r'Confidence\.temperature must be at least 0'):
            Confidence(value)


class Fixed(nn.Module):
    """Gives each place the same logits, whatever it sees, plus those of a token it may copy."""

    shape: tuple[int, ...]
    vocab_size: int
    causal: bool = False

    @nn.compact
    def __call__(self, x):
        logits = self.param('logits', nn.initializers.normal(1.0), (*self.shape, self.vocab_size))
        return jnp.broadcast_to(logits, (*x.shape, self.vocab_size))


def test_the_bound_of_masked_diffusion_is_tight_for_independent_tokens():
    model = MDLM(Fixed((5,), 3), eval_samples=1000)
    x = jax.random.randint(KEY, (3, 5), 0, 3)
    variables = model.init(KEY, {'x': x})
    exact = jnp.take_along_axis(
        jax.nn.log_softmax(variables['params']['network']['logits'])[None], x[..., None], -1
    )[..., 0].sum(-1)
    bound = jax.jit(model.log_prob)(variables, x, KEY)
    assert bound.kind == 'lower_bound'
    np.testing.assert_allclose(bound.value, exact, atol=0.3)
    losses = jax.vmap(lambda key: model.phases[0].loss(variables, {'x': x}, key).values)(
        jax.random.split(KEY, 1000)
    )
    np.testing.assert_allclose(-np.mean(losses, 0), exact, atol=0.3)


@pytest.mark.parametrize('kind', [MDLM, MaskGIT])
@pytest.mark.parametrize('steps', [1, 6])
def test_masked_models_unmask_everything_and_follow_independent_tokens(kind, steps):
    model = with_sampling(kind(Fixed((5,), 3)), steps=steps)
    variables = model.init(KEY, {'x': jnp.zeros((1, 5), jnp.int32)})
    x = jax.jit(model.sample, static_argnums=2)(variables, KEY, 4000)
    assert int(jnp.max(x)) < 3
    if kind is MDLM or steps == 1:  # choosing by confidence sharpens
        want = jax.nn.softmax(variables['params']['network']['logits'])
        np.testing.assert_allclose(jax.nn.one_hot(x, 3).mean(0), want, atol=0.04)


def test_maskgit_loss_is_the_mean_over_masked_tokens():
    model = MaskGIT(Fixed((5,), 3))
    x = jnp.zeros((4, 5), jnp.int32)
    variables = {'params': {'network': {'logits': jnp.zeros((5, 3))}}, 'state': {}}
    values = model.phases[0].loss(variables, {'x': x}, KEY).values
    np.testing.assert_allclose(values, np.log(3), rtol=1e-6)


@pytest.mark.parametrize(
    'network',
    [
        Transformer((6,), 7, 16, 1, 2),
        Transformer((6,), 7, 16, 1, 2, tied=False),
        Transformer((6,), 7, 16, 1, 2, scan=True, causal=False),
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


def test_half_precision_is_close():
    network = Transformer((6,), 7, features=16, num_layers=2, num_heads=2)
    x = jax.random.randint(KEY, (4, 6), 0, 7)
    variables = _variables(GPT(network))
    full, half = (
        jax.jit(GPT(network.clone(dtype=dtype)).log_prob)(variables, x, KEY).value
        for dtype in ('float32', 'bfloat16')
    )
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, full, rtol=0.03)


def test_mistakes_are_named():
    with pytest.raises(UserError, match='vocab_size'):
        GPT(SEQUENCES['gru'])
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
