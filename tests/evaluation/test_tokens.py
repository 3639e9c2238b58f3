from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, TokenLikelihood
from genjax.models import VAE
from genjax.models.base import LogProb
from genjax.networks import MLP


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


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(UserError, match='token_log_probs'):
        TokenLikelihood()(VAE(MLP((2,)), MLP((2,), shape=(2,)), 2), {}, _data(X), None)
    with pytest.raises(UserError, match='given=3'):
        TokenLikelihood(given=3)(Model(), {}, _data(X), jax.random.key(0))
