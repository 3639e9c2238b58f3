"""Models of bits and tokens given a label or context: against enumeration of all examples."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GPT, MADE, MDLM, FrameModel, LogisticMixture, MaskGIT, PixelCNN
from genjax.models.autoregressive import TokenSampling
from genjax.models.conditional import GuidedSampling
from genjax.models.diffusion import (
    DiscreteDiffusion,
    DiscreteSampling,
    MaskGITSampling,
    UniformNoise,
)
from genjax.models.sampling_options import with_sampling
from genjax.networks import (
    TCN,
    Conditional,
    GatedPixelCNN,
    MaskedAutoencoder,
    PixelCNNPlusPlus,
    Recurrent,
    TimeMLP,
    Transformer,
)
from tests.tiers import few, full

pytestmark = pytest.mark.slow

KEY = jax.random.key(5)
LABELLED = {'num_classes': 3, 'condition_dropout': 0.1}
BITS = {
    'made': MADE(MaskedAutoencoder((4,), (8,), num_masks=2), num_classes=3),
    'made-indirect': MADE(MaskedAutoencoder((4,), (8,), direct=False), num_classes=3),
    'pixelcnn': PixelCNN(GatedPixelCNN((2, 2, 1), 4, 1), num_classes=3),
    'pixelcnn++': PixelCNN(
        PixelCNNPlusPlus((2, 2, 1), 4, 1, 1), LogisticMixture(2, levels=2), num_classes=3
    ),
    'gpt': GPT(Transformer((4,), 2, 8, 1, 2), num_classes=3),
    'gpt-end': GPT(Recurrent((4,), 2, 8), end=1, num_classes=3),
    'frames': FrameModel(TCN((2, 2), features=5, num_layers=1), num_classes=3),
    'frames-within': FrameModel(
        Recurrent((2, 2), features=6, cell='gru'), MaskedAutoencoder((2,), (8,)), num_classes=3
    ),
}


@functools.cache
def variables_of(model):
    """Initial variables with noise on every leaf, so that nothing is at its initial value of 0."""
    tokens = getattr(model.network, 'vocab_size', None) is not None
    batch = {
        'x': jnp.zeros((2, *model.event_shape), jnp.int32 if tokens else jnp.float32),
        'label': jnp.zeros(2, jnp.int32),
    }
    leaves, structure = jax.tree.flatten(jax.jit(model.init)(KEY, batch))
    generator = np.random.default_rng(0)
    return structure.unflatten([a + 0.7 * generator.standard_normal(a.shape) for a in leaves])


def states_of(model):
    """All examples of a model of bits, [N, *event], the first element slowest."""
    size = int(np.prod(model.event_shape))
    states = np.stack(np.meshgrid(*[[0, 1]] * size, indexing='ij'), -1).reshape(-1, size)
    dtype = jnp.int32 if isinstance(model, GPT) else jnp.float32
    return jnp.asarray(states.reshape(-1, *model.event_shape), dtype)


@functools.cache
def masses(model):
    """Probabilities [4, N] of all examples: given each of three labels, and given none."""
    x = states_of(model)

    @jax.jit
    def log_probs(variables):
        given = [model.log_prob(variables, x, KEY, label=jnp.full(len(x), y)) for y in range(3)]
        return [each.value for each in (*given, model.log_prob(variables, x, KEY))]

    return np.exp(np.asarray(log_probs(variables_of(model)), np.float64))


def frequencies(model, states, num=4000, **options):
    """Shares [N] of the given states among samples."""

    @jax.jit
    def draw(variables, key):
        return model.sample(variables, key, num, **options)

    x = np.asarray(draw(variables_of(model), KEY)).reshape(num, 1, -1)
    same = np.all(x == np.asarray(states).reshape(1, len(states), -1), axis=-1)
    assert np.all(same.sum(axis=1) == 1)
    return same.mean(axis=0)


def assert_close(shares, masses, num=4000):
    np.testing.assert_allclose(shares, masses, atol=5 * np.sqrt(0.25 / num))
    error = (shares - masses) / np.sqrt(np.maximum(masses, 1e-3) / num)
    assert np.all(np.abs(error) < 5), error


@pytest.mark.parametrize('name', few(list(BITS), ['made', 'pixelcnn', 'gpt-end', 'frames-within']))
def test_probabilities_sum_to_one_given_each_label_and_the_mixture_is_their_mean(name):
    given = masses(BITS[name])
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(given[3], given[:3].mean(axis=0), atol=1e-6)
    first = given.reshape(4, 2, -1).sum(axis=-1)[:, 0]  # also the first element sees the label
    assert np.abs(np.diff(first[:3])).min() > 1e-3


@pytest.mark.parametrize('name', ['made', 'pixelcnn', 'gpt-end', 'frames-within'])
def test_samples_follow_the_distribution_of_their_label(name):
    model = BITS[name]
    shares = frequencies(model, states_of(model), label=jnp.full(4000, 2))
    assert_close(shares, masses(model)[2])


def test_the_mixture_over_labels_is_that_of_tokens():
    model = BITS['gpt']
    x = states_of(model)
    tokens, _ = jax.jit(lambda v: model.token_log_probs(v, x, KEY))(variables_of(model))
    joint = masses(model)[3].reshape(2, 2, 2, 2)
    prefix = np.stack(
        [joint.sum(axis=tuple(range(t, 4)), keepdims=True) + 0 * joint for t in range(5)]
    )
    wanted = np.log(prefix[1:] / prefix[:-1]).reshape(4, -1).T
    np.testing.assert_allclose(tokens.value, wanted, atol=1e-5)


GUIDED = {
    'made': MADE(MaskedAutoencoder((2,), (8,), natural=True), **LABELLED),
    'pixelcnn': PixelCNN(GatedPixelCNN((1, 2, 1), 4, 1), **LABELLED),
    'gpt': GPT(Transformer((2,), 2, 8, 1, 2), **LABELLED),
    'frames': FrameModel(Recurrent((2, 1), features=6), **LABELLED),
}


def _steps(mass):
    """p(first) [2, 1] and p(second | first) [2, 2] of a distribution over two bits [4]."""
    first = mass.reshape(2, 2).sum(axis=1, keepdims=True)
    return first, mass.reshape(2, 2) / first


@pytest.mark.parametrize('name', few(list(GUIDED), ['made', 'gpt']))
def test_guidance_extrapolates_the_logits_of_each_element(name):
    """p(x_t | x_<t, c)^w p(x_t | x_<t)^(1 - w), normalised."""
    model, weight = GUIDED[name], 3.0
    given = masses(model)
    assert np.abs(given[3] - given[:3].mean(axis=0)).max() > 0.01  # the null condition is its own
    (strong, strong_next), (weak, weak_next) = _steps(given[1]), _steps(given[3])
    first = strong**weight * weak ** (1 - weight)
    second = strong_next**weight * weak_next ** (1 - weight)
    wanted = first / first.sum(axis=0) * second / second.sum(axis=1, keepdims=True)
    guided = with_sampling(model, guidance=weight)
    label = jnp.full(4000, 1)
    assert_close(frequencies(guided, states_of(model), label=label), wanted.ravel())
    assert np.abs(wanted.ravel() - given[1]).max() > 0.02


PARALLEL = Transformer((2,), 3, 8, 1, 2, causal=False)
MASKED = {
    'mdlm': MDLM(PARALLEL, DiscreteSampling(steps=1), **LABELLED),
    'maskgit': MaskGIT(PARALLEL, MaskGITSampling(1), **LABELLED),
    'discrete': DiscreteDiffusion(PARALLEL, sampling=DiscreteSampling(steps=1), **LABELLED),
}
PAIRS = np.stack(np.meshgrid(range(3), range(3), indexing='ij'), -1).reshape(-1, 2)


def _unmasked(model, seen, label):
    """p(x_i | seen, label) [2, 3]; the label 3 stands for none."""
    condition = jax.nn.one_hot(jnp.array([label]), 4)
    log_probs, _ = jax.jit(model.log_probs)(
        variables_of(model), jnp.array([seen]), jnp.ones(()), None, condition
    )
    return np.exp(np.asarray(log_probs[0], np.float64))


@pytest.mark.parametrize('name', few(list(MASKED), ['mdlm']))
def test_guidance_of_masked_models(name):
    """One step draws both tokens at once, from the guided p(x_i | masks)."""
    model, weight = MASKED[name], 2.5
    strong, weak = (_unmasked(model, [3, 3], label) for label in (1, 3))
    first, second = (each / each.sum() for each in strong**weight * weak ** (1 - weight))
    guided = with_sampling(model, guidance=weight)
    shares = frequencies(guided, PAIRS, label=jnp.full(4000, 1))
    assert_close(shares, np.outer(first, second).ravel())
    plain = frequencies(model, PAIRS, label=jnp.full(4000, 1))
    assert_close(plain, np.outer(*strong).ravel())


@pytest.mark.parametrize('name', MASKED)
def test_masked_models_draw_the_rest_given_a_prompt(name):
    model = MASKED[name]
    shares = frequencies(model, PAIRS, label=jnp.full(4000, 1), prompt=jnp.array([2]))
    assert_close(shares, np.outer([0, 0, 1], _unmasked(model, [2, 3], 1)[1]).ravel())


def test_a_prompt_of_bits_with_uniform_noise_is_kept():
    model = DiscreteDiffusion(
        TimeMLP((2, 2), 8, 1), UniformNoise(), sampling=DiscreteSampling(steps=4), **LABELLED
    )
    prompt = jnp.array([1, 0, 1])
    x = jax.jit(lambda v: model.sample(v, KEY, 64, prompt=prompt))(variables_of(model))
    np.testing.assert_array_equal(x.reshape(64, 4)[:, :3], np.tile(prompt, (64, 1)))
    assert 0 < x[:, 1, 1].mean() < 1


@pytest.mark.parametrize('name', ['gpt', 'gpt-end', 'frames-within'])
def test_the_rest_follows_the_model_given_the_prompt(name):
    model = BITS[name]
    prompt = jnp.zeros((2,), jnp.int32) if isinstance(model, GPT) else jnp.array([[1.0, 0.0]])
    given = masses(model)[0].reshape(4, 4)
    wanted = np.zeros((4, 4))
    row = 0 if isinstance(model, GPT) else 2
    wanted[row] = given[row] / given[row].sum()
    label = jnp.zeros(4000, jnp.int32)
    shares = frequencies(model, states_of(model), label=label, prompt=prompt)
    assert_close(shares, wanted.ravel())


class Plain(Conditional):
    """A network without its `step`."""

    inner: Transformer

    @property
    def shape(self):
        return self.inner.shape

    @property
    def vocab_size(self):
        return self.inner.vocab_size

    def __call__(self, x, condition=None):
        return self.inner(x, condition)


@pytest.mark.parametrize(
    'network',
    [
        Transformer((6,), 7, 8, 2, 2, scan=True),
        full(Recurrent((6,), 7, 8)),
        full(TCN((6,), 7, 5, 2, 3)),
    ],
    ids=['transformer', 'lstm', 'tcn'],
)
def test_cached_and_uncached_sampling_agree_with_guidance_and_prompt(network):
    sampling = TokenSampling(1.5, top_p=0.9, guidance=2.0)
    plain = GPT(Plain(network.clone(num_classes=3)), sampling=sampling, **LABELLED)
    cached = GPT(network, sampling=sampling, **LABELLED)
    variables = variables_of(cached)
    wrapped = {'params': {'network': {'inner': variables['params']['network']}}, 'state': {}}
    options = {'label': jnp.arange(8) % 3, 'prompt': jnp.array([4, 2])}
    x = jax.jit(lambda v: cached.sample(v, KEY, 8, **options))(variables)
    same = jax.jit(lambda v: plain.sample(v, KEY, 8, **options))(wrapped)
    np.testing.assert_array_equal(x, same)
    assert np.all(x[:, :2] == np.array([4, 2])) and len(np.unique(x[:, 2:])) > 2


def test_a_sample_that_is_given_its_own_beginning_is_drawn_again():
    model, label = BITS['gpt'], jnp.arange(8) % 3
    draw = jax.jit(lambda v, prompt: model.sample(v, KEY, 8, label=label, prompt=prompt))
    x = draw(variables_of(model), None)
    np.testing.assert_array_equal(x, draw(variables_of(model), x[:, :2]))


def test_mistakes():
    gpt, made = BITS['gpt'], BITS['made']
    for prompt, message in (
        (np.zeros(5, np.int32), 'the prompt has 5 elements, and a sample of this GPT 4'),
        (np.array([0, 2]), r'the prompt has the element 2: they are 0\.\.1'),
        (
            np.zeros((3, 1), np.int32),
            r'a prompt of 2 samples .* is \[P\], or \[2, P\]; not \[3, 1\]',
        ),
    ):
        with pytest.raises(UserError, match=message):
            gpt.sample(variables_of(gpt), KEY, 2, prompt=prompt)
    with pytest.raises(
        UserError, match='guidance asks the network for its output without a condition'
    ):
        with_sampling(made, guidance=2.0)
    with pytest.raises(UserError, match=r'guidance extrapolates logits: .* Categorical'):
        PixelCNN(
            GatedPixelCNN((2, 2, 1)), LogisticMixture(2), GuidedSampling(guidance=2.0), **LABELLED
        )
    with pytest.raises(UserError, match='condition_dropout needs num_classes or context_shape'):
        GPT(gpt.network, condition_dropout=0.1)
    mdlm = dataclasses.replace(MASKED['mdlm'], condition_dropout=0.0)
    with pytest.raises(UserError, match='log_prob asks the network for its output without'):
        mdlm.log_prob(variables_of(MASKED['mdlm']), jnp.asarray(PAIRS), KEY)
    context = GPT(gpt.network, context_shape=(2,))
    with pytest.raises(UserError, match=r'p\(x \| context\) needs a context=\[N, 2\]'):
        context.sample(None, KEY, 2)
