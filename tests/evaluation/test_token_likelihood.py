from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, TokenLikelihood
from genjax.models import GPT, MDLM, VAE, DiscreteDiffusion
from genjax.models.base import LogProb
from genjax.models.diffusion import Masking, UniformNoise
from genjax.networks import MLP, Transformer
from tests.tiers import full

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Model:
    """Token k costs k nats; tokens of -1 do not count."""

    def token_log_probs(self, variables, x, key):
        return LogProb(-jnp.maximum(x, 0).astype(jnp.float32), 'exact'), x >= 0


def _data(x):
    def batches(size):
        for start in range(0, len(x), size):
            rows = x[start : start + size]
            mask = np.arange(size) < len(rows)
            yield {'x': jnp.asarray(np.resize(rows, (size, x.shape[1]))), 'mask': jnp.asarray(mask)}

    return EvaluationData(None, 'test', batches, Chain())


X = np.array([[9, 1, 2], [5, 3, -1], [7, -1, -1]], np.int32)


@pytest.mark.parametrize('batch_size', [1, 2, 3, 5])
def test_all_tokens_weigh_the_same(batch_size):
    figures = TokenLikelihood(batch_size)(Model(), {}, _data(X), jax.random.key(0))
    assert figures['nats_per_token'] == pytest.approx(27 / 6)
    assert figures['tokens'] == 6
    assert figures['perplexity'] == pytest.approx(np.exp(4.5), rel=1e-6)
    assert figures['kind'] == 'exact'


def test_given_tokens_are_not_judged():
    evaluator = TokenLikelihood(2, given=1, unit='char')
    figures = evaluator(Model(), {}, _data(X), jax.random.key(0))
    assert figures['nats_per_char'] == pytest.approx(2)
    assert figures['chars'] == 3
    assert 'first 1 given' in figures['protocol']


class Copies(nn.Module):
    """Every token is as the first one that it sees, most likely; a mask says nothing."""

    shape: tuple[int, ...] = (4,)
    vocab_size: int = 5

    def __call__(self, x):
        first = jax.nn.one_hot(x[:, :1], self.vocab_size)
        return jnp.broadcast_to(8.0 * first, (*x.shape, self.vocab_size))


@pytest.mark.parametrize(
    'model',
    [
        MDLM(Copies(), eval_samples=64),
        full(DiscreteDiffusion(Copies(), Masking(), chain=50)),
        full(DiscreteDiffusion(Copies(), UniformNoise(), chain=50)),
    ],
    ids=['mdlm', 'masks', 'noise'],
)
def test_models_that_see_all_tokens_are_given_the_first(model):
    """Tokens that repeat the first are certain given it, and cost log 5 where it is lost."""
    x = np.repeat(np.arange(5), 4).reshape(5, 4).astype(np.int32)
    variables = model.init(jax.random.key(0), {'x': jnp.asarray(x)})
    known = np.log1p(4 * np.exp(-8.0))
    figures = TokenLikelihood(5, given=1)(model, variables, _data(x), jax.random.key(0))
    assert figures['nats_per_token'] < 0.03
    if not isinstance(model.path, UniformNoise):
        assert figures['nats_per_token'] == pytest.approx(known, rel=0.05)
    assert figures['tokens'] == 15
    assert figures['protocol'] == 'lower_bound, first 1 given, test (5 sequences)'
    plain = TokenLikelihood(5)(model, variables, _data(x), jax.random.key(0))
    assert plain['nats_per_token'] > 0.4
    total = jnp.mean(model.log_prob(variables, jnp.asarray(x), jax.random.key(1)).value)
    assert plain['nats_per_token'] == pytest.approx(-float(total) / 4, rel=0.2)


def test_what_cannot_be_judged_is_refused():
    masked = type('Masked', (Model,), {})()
    bound = LogProb(jnp.zeros(X.shape), 'lower_bound'), jnp.ones(X.shape, bool)
    type(masked).token_log_probs = lambda self, variables, x, key: bound
    with pytest.raises(UserError, match=r'token_log_probs of Masked takes no `given`'):
        TokenLikelihood(3, given=1)(masked, {}, _data(X), jax.random.key(0))
    with pytest.raises(UserError, match='given must be at least 0'):
        TokenLikelihood(given=-1)
    with pytest.raises(UserError, match='token_log_probs'):
        TokenLikelihood()(VAE(MLP((2,)), MLP((2,), shape=(2,)), 2), {}, _data(X), None)
    with pytest.raises(UserError, match='given=3'):
        TokenLikelihood(given=3)(Model(), {}, _data(X), jax.random.key(0))


@pytest.mark.full
def test_conditions_of_the_data_are_given():
    """Labels if asked for, contexts always."""
    network = Transformer((2,), 3, 8, 1, 2)
    labelled, contextual = GPT(network, num_classes=2), GPT(network, context_shape=(2,))
    x, label = np.array([[0, 1], [2, 1], [0, 0]], np.int32), np.array([0, 1, 1], np.int32)
    context = np.eye(2, dtype=np.float32)[label]
    batch = {'x': x, 'label': label, 'context': context, 'mask': np.ones(3, bool)}
    data = EvaluationData(None, 'test', lambda size: [jax.device_put(batch)], Chain())
    variables = labelled.init(jax.random.key(0), batch)
    variables = jax.tree.map(lambda a: a + jnp.sin(jnp.arange(a.size)).reshape(a.shape), variables)
    given, mixture = (
        -float(jnp.mean(labelled.log_prob(variables, x, None, **options).value)) / 2
        for options in ({'label': label}, {})
    )
    assert abs(given - mixture) > 0.01
    for model, evaluator, want in (
        (labelled, TokenLikelihood(3), mixture),
        (labelled, TokenLikelihood(3, given_label=True), given),
        (contextual, TokenLikelihood(3), given),
    ):
        results = evaluator(model, variables, data, jax.random.key(0))
        assert results['nats_per_token'] == pytest.approx(want, rel=1e-5)
        assert ('given' in results['protocol']) == (want is given)
    without = EvaluationData(None, 'test', lambda size: [{'x': x, 'mask': batch['mask']}], Chain())
    with pytest.raises(UserError, match=r'context_shape=\(2,\) is scored given the contexts'):
        TokenLikelihood(3)(contextual, variables, without, jax.random.key(0))
    with pytest.raises(UserError, match='given_label=True: this GPT has no classes'):
        TokenLikelihood(3, given_label=True)(contextual, variables, data, jax.random.key(0))
