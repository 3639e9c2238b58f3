"""Beams, repetition penalties, speculation, windows and packed documents, by enumeration."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GPT
from genjax.models.autoregressive import TokenSampling, speculative_sample
from genjax.models.autoregressive.speculative import accepted_or_redrawn
from genjax.networks import Recurrent, Transformer
from tests.models.spread import spread
from tests.tiers import few, full

pytestmark = pytest.mark.slow

KEY = jax.random.key(5)
EVERY = jnp.array(list(itertools.product(range(3), repeat=4)))
MODELS = {
    'transformer': GPT(Transformer((4,), 3, 8, 2, 2, scan=True), end=0),
    'gru': GPT(Recurrent((4,), 3, 6, cell='gru')),
    'labels': GPT(Transformer((4,), 3, 8, 1, 2), num_classes=2, condition_dropout=0.1),
}


@functools.cache
def variables_of(name, seed=0):
    model = MODELS[name]
    batch = {'x': EVERY[:2], 'label': jnp.zeros(2, jnp.int32)}
    variables = model.init(jax.random.key(seed), batch)
    return {**variables, 'params': spread(variables['params'], 1.0 + seed)}


def sample(model, variables, num=2, **given):
    return jax.jit(lambda v: model.sample(v, KEY, num, **given))(variables)


@pytest.mark.parametrize('name', few(list(MODELS), ['gru']))
def test_enough_beams_find_the_most_probable_sequence(name):
    model, variables = MODELS[name], variables_of(name)
    options = {'guidance': 2.0} if name == 'labels' else {}
    given = {'label': jnp.array([0, 1])} if name == 'labels' else {}
    wide = dataclasses.replace(model, sampling=TokenSampling(beams=27, **options))
    found = sample(wide, variables, **given)
    for row, label in zip(found, given.get('label', [None, None]), strict=True):
        if label is None:
            best = jnp.argmax(model.log_prob(variables, EVERY, KEY).value)
        else:  # the guided law, token by token
            total = 0.0
            for size in range(4):
                before = EVERY[:, :size]
                log_p = _guided_log_p(model, variables, before, label, 2.0)
                total += jnp.take_along_axis(log_p, EVERY[:, size, None], 1)[:, 0]
            best = jnp.argmax(total)
        np.testing.assert_array_equal(row, EVERY[best])
    greedy = dataclasses.replace(model, sampling=TokenSampling(temperature=0.0, **options))
    narrow = dataclasses.replace(model, sampling=TokenSampling(beams=1, **options))
    first = sample(greedy, variables, **given)
    np.testing.assert_array_equal(sample(narrow, variables, **given), first)


def _guided_log_p(model, variables, before, label, weight):
    """Log-probabilities of the next token, from whole passes of the network with and without."""
    x = jnp.concatenate([jnp.full((len(before), 1), 3), before], axis=1)
    given, null = (jnp.zeros((len(x), 3)).at[:, k].set(1.0) for k in (label, 2))
    params = {'params': variables['params']['network']}
    strong, weak = (model._network.apply(params, x, c)[:, -1] for c in (given, null))
    return jax.nn.log_softmax(weak + weight * (strong - weak))


def test_beams_continue_a_prompt():
    model, variables = MODELS['gru'], variables_of('gru')
    wide = dataclasses.replace(model, sampling=TokenSampling(beams=9))
    found = sample(wide, variables, prompt=jnp.array([2, 1]))
    rest = EVERY[(EVERY[:, 0] == 2) & (EVERY[:, 1] == 1)]
    best = jnp.argmax(model.log_prob(variables, rest, KEY).value)
    np.testing.assert_array_equal(found, jnp.tile(rest[best], (2, 1)))


def test_a_repetition_penalty_by_hand():
    """Greedy decoding, step by step, with the logits of whole passes."""
    model, params = MODELS['gru'], dict(variables_of('gru')['params']['network'])
    for bias in (0.0, 4.0):  # logits of both signs, and of one
        out = {**params['out'], 'bias': params['out']['bias'] + bias}
        own = {**params, 'out': out}
        variables = {'params': {'network': own}, 'state': {}}
        sampling = TokenSampling(temperature=0.0, repetition_penalty=2.5)
        got = sample(dataclasses.replace(model, sampling=sampling), variables, 1)
        tokens = [3]
        for _ in range(4):
            logits = model.network.apply({'params': own}, jnp.array([tokens]))[0, -1]
            row = np.array(logits)
            for token in set(tokens[1:]):
                row[token] = row[token] / 2.5 if row[token] > 0 else row[token] * 2.5
            tokens.append(int(np.argmax(row)))
        np.testing.assert_array_equal(got[0], tokens[1:])
    assert len(set(tokens[1:])) > 1


def test_a_redrawn_token_has_the_law_of_the_target():
    p, q = jnp.array([0.1, 0.6, 0.3, 0.0]), jnp.array([0.5, 0.2, 0.2, 0.1])

    def drawn(key):
        draft_key, key = jax.random.split(key)
        token = jax.random.choice(draft_key, 4, p=q)
        accepted, other = accepted_or_redrawn(key, token, p, q)
        return jnp.where(accepted, token, other), accepted

    tokens, accepted = jax.jit(jax.vmap(drawn))(jax.random.split(KEY, 100_000))
    shares = np.bincount(tokens, minlength=4) / len(tokens)
    np.testing.assert_allclose(shares, p, atol=0.006)
    assert np.mean(accepted) == pytest.approx(float(jnp.sum(jnp.minimum(p, q))), abs=0.006)


@pytest.mark.parametrize(
    ('name', 'ahead', 'options'),
    [full('transformer', 2, {}), ('gru', 3, {'temperature': 0.8, 'top_k': 2})],
)
def test_speculative_samples_have_the_law_of_the_target(name, ahead, options):
    """The masses of all 81 sequences; the draft is another network of other weights."""
    target = dataclasses.replace(MODELS[name], sampling=TokenSampling(**options))
    draft = dataclasses.replace(MODELS['gru'], end=target.end)
    pairs = (target, variables_of(name)), (draft, variables_of('gru', 1))
    num = 40_000
    x, passes = jax.jit(lambda key: speculative_sample(*pairs, key, num, ahead=ahead))(KEY)
    plain = jax.jit(target.sample, static_argnums=2)(pairs[0][1], jax.random.key(9), num)
    places = 3 ** jnp.arange(4)[::-1]
    shares, others = (np.bincount(np.asarray(s @ places), minlength=81) / num for s in (x, plain))
    if options:
        mass, spread = others, 2.0
    else:
        mass = np.exp(target.log_prob(pairs[0][1], EVERY, KEY).value)
        spread = 1.0
    error = np.sqrt(spread * np.maximum(mass, 1e-4) / num)
    assert np.max(np.abs(shares - mass) / error) < 4.5
    own = np.exp(draft.log_prob(pairs[1][1], EVERY, KEY).value)
    assert np.sum(np.abs(own - mass)) > 0.5  # the draft alone is far from it
    assert np.min(passes) >= 1 and np.max(passes) <= 4 and np.mean(passes) < 3.9


def test_a_perfect_draft_needs_few_passes():
    model, variables = MODELS['labels'], variables_of('labels')
    label = jnp.array([0, 1, 1])
    x, passes = speculative_sample(
        (model, variables), (model, variables), KEY, 3, ahead=3, label=label
    )
    np.testing.assert_array_equal(passes, 1)
    assert x.shape == (3, 4)
    longer = GPT(Transformer((5,), 3, 8, 1, 2))
    with pytest.raises(UserError, match='length'):
        speculative_sample((model, variables), (longer, variables), KEY, 3)
    beams = dataclasses.replace(model, sampling=TokenSampling(beams=2))
    with pytest.raises(UserError, match='beams'):
        speculative_sample((beams, variables), (model, variables), KEY, 3)


def reach(network, x, t):
    """Finds the inputs that the output at t depends on, by changing each."""
    variables = network.init(KEY, x)
    variables = {'params': spread(variables['params'])}
    apply = jax.jit(lambda x: network.apply(variables, x)[0, t])
    return [bool(jnp.any(apply(x.at[0, s].set(6)) != apply(x))) for s in range(x.shape[1])]


@pytest.mark.parametrize('layers', [1, 2])
def test_a_window_is_as_wide_as_it_says(layers):
    network = Transformer((8,), 7, 8, layers, 2, window=3)
    seen = reach(network, jnp.arange(8)[None] % 5, 6)
    assert [s for s in range(8) if seen[s]] == list(range(6 - 2 * layers, 7))


@pytest.mark.parametrize('scan', [False, full(True)])
def test_packed_documents_do_not_see_each_other(scan):
    network = Transformer((9,), 7, 8, 2, 2, positions='rotary', separator=5, scan=scan)
    x = jnp.array([[7, 1, 2, 5, 3, 4, 5, 0, 1]])
    variables = {'params': spread(network.init(KEY, x)['params'])}
    packed = network.apply(variables, x)
    for start, end in ((0, 3), (3, 6), (6, 9)):
        alone = network.apply(variables, x[:, start:end])
        np.testing.assert_allclose(packed[:, start:end], alone, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match='causal'):
        network.clone(causal=False).init(KEY, x)
