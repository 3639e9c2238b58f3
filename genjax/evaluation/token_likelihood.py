"""Log-likelihood per token of text, or per frame of music."""

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.conditions import condition_protocol, scored_conditions
from genjax.models.base import LogProb, Variables
from genjax.parallel.host import fetch


class HasTokenLogProbs(Protocol):
    """A model of sequences."""

    def token_log_probs(self, variables: Variables, x: Array, key: Array) -> tuple[LogProb, Array]:
        """Log-probabilities [B, T] of the elements of x in nats, each given the previous ones, and
        a mask, bool [B, T].

        A model with conditions takes a `label` or `context`, as in `HasLogProb`. A
        non-autoregressive model has the option `given`, the number of leading elements to condition
        on: the log-probabilities are of the others given these.
        """


@dataclass(frozen=True)
class TokenLikelihood(Evaluator):
    """Negative log-probability per token: the nats of all sequences over the number of all tokens.

    Sequences are weighted by their number of tokens, with end tokens and without padding. Gives
    'nats_per_token', 'bits_per_token', 'perplexity', 'tokens', 'kind' and 'protocol'.

    Attributes:
        batch_size: sequences per batch.
        given: number of leading tokens to condition on: the log-probability is that of the others
            given these.
        given_label: score log p(x | label) of a model with classes, with the label of each example,
            instead of log p(x). Contexts are always given.
        unit: name of a token in the names of results: 'token', 'char', 'frame'.
    """

    batch_size: int = 100
    given: int = 0
    unit: str = 'token'
    given_label: bool = False

    def __post_init__(self):
        for name, least in (('batch_size', 1), ('given', 0)):
            if getattr(self, name) < least:
                value = getattr(self, name)
                raise UserError(f'TokenLikelihood.{name} must be at least {least}, not {value}')

    def __call__(
        self, model: HasTokenLogProbs, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates; raises UserError if it has no `token_log_probs`, or cannot condition
        on the first tokens.
        """
        require(self, model, 'token_log_probs')
        program = functools.partial(
            _batch_sums, model, data.preprocess, self.given, self.given_label
        )
        parts = []
        for batch in data.batches(self.batch_size):
            part, key = program(variables, batch, key)
            parts.append(part)
        if not parts:
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        kind = parts[0].kind
        if self.given and kind != 'exact' and not _takes_given(model):
            raise UserError(
                f'TokenLikelihood.given={self.given}: token_log_probs of {type(model).__name__} '
                'takes no `given`, so that its bound is not that of the others given these tokens'
            )
        sums = np.array([part.value for part in fetch(parts)], np.float64).sum(axis=0)
        if not sums[1]:
            raise UserError(f'given={self.given} leaves no token of {data.split} to judge')
        nats = -sums[0] / sums[1]
        steps = [kind, *condition_protocol(model, self.given_label)]
        steps += [f'first {self.given} given'] if self.given else []
        return {
            f'nats_per_{self.unit}': float(nats),
            f'bits_per_{self.unit}': float(nats / np.log(2)),
            'perplexity': float(np.exp(nats)),
            f'{self.unit}s': float(sums[1]),
            'kind': kind,
            'protocol': ', '.join([*steps, f'{data.split} ({sums[2]:.0f} sequences)']),
        }


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _batch_sums(
    model: HasTokenLogProbs,
    preprocess: Chain,
    given: int,
    given_label: bool,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Array,
) -> tuple[LogProb, Array]:
    """Sums [3] of the log-probabilities, tokens and sequences of a batch, and the next key."""
    next_key, preprocess_key, model_key = jax.random.split(key, 3)
    x, _ = preprocess(batch['x'], preprocess_key)
    options = scored_conditions(model, batch, given_label)
    if _takes_given(model):
        options['given'] = given
    result, counted = model.token_log_probs(variables, x, model_key, **options)
    counted = counted.reshape(len(x), -1)
    counted &= batch['mask'][:, None] & (jnp.arange(counted.shape[1]) >= given)
    nats = jnp.sum(jnp.where(counted, result.value.reshape(counted.shape), 0.0))
    sums = jnp.stack([nats, jnp.sum(counted, dtype=jnp.float32), jnp.sum(batch['mask'])])
    return result.replace(value=sums), next_key


def _takes_given(model: HasTokenLogProbs) -> bool:
    return 'given' in inspect.signature(model.token_log_probs).parameters
