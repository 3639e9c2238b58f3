"""Autoregressive models of sequences: of tokens (`GPT`) and of frames of bits (`FrameModel`)."""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import modules
from genjax.models.autoregressive.decoding import filter_logits, generate, uncached
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Variables


class _Sequences:
    """What models of tokens and of frames share; they say `_first`, `_token_log_probs`, `_draw`."""

    network: nn.Module

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sequence."""
        return modules.event_shape(self.network, 'network')

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One player."""
        return (Phase('network', ('network',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        return modules.initialise(key, {'network': (self.network, (self._shift(batch['x']),))})

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Exact log-probability [B] of sequences x; `key` is not used."""
        tokens, _ = self.token_log_probs(variables, x, key)
        return LogProb(jnp.sum(tokens.value, axis=-1), tokens.kind)

    def token_log_probs(self, variables: Variables, x: Array, key: Array) -> tuple[LogProb, Array]:
        """Log-probability of each element given those before it, [B, T], and which are counted,
        bool [B, T]: padding is not, and has log-probability 0. `key` is not used.
        """
        del key
        out, _ = modules.apply(self.network, variables, 'network', self._shift(x))
        values, counted = self._element_log_probs(out.astype(jnp.float32), x)
        return LogProb(values, 'exact'), counted

    def sample(
        self, variables: Variables, key: Array, num: int, *, label: Array | None = None
    ) -> Array:
        """Draws [num, length, ...], element by element with what the network remembers. Raises a
        UserError when given a label.
        """
        if label is not None:
            raise UserError(f'a {type(self).__name__} learns no labels: sample without one')
        first = self._first(num)

        def call(*args: Any, method: str) -> Any:
            return modules.apply(self.network, variables, 'network', *args, method=method)[0]

        if hasattr(self.network, 'step'):

            def step(*args: Any) -> Any:
                return call(*args, method='step')

            carry = self.network.initial_carry(num)
        else:
            step, carry = uncached(lambda x: call(x, method='__call__'), first, self.event_shape[0])
        return generate(step, carry, first, self._draw, key, self.event_shape[0])

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        x = batch['x']
        out, state = modules.apply(
            self.network, variables, 'network', self._shift(x), train=True, key=key
        )
        values, counted = self._element_log_probs(out.astype(jnp.float32), x)
        nats = -jnp.sum(values, axis=-1)
        per_token = nats / jnp.maximum(jnp.sum(counted, axis=-1), 1)
        return LossOutput(nats, {'nats_per_token': per_token}, state)

    def _shift(self, x: Array) -> Array:
        """What the network sees: the beginning, then all elements but the last."""
        return jnp.concatenate([self._first(len(x))[:, None], self._clean(x)[:, :-1]], axis=1)


@dataclass(frozen=True)
class GPT(_Sequences):
    """An autoregressive model of tokens, log p(x) = Σ log p(x_t | x_<t) (Radford et al., 2018).

    The parameter group is 'network'; the loss is in nats a sequence. Metric: 'nats_per_token'.

    Attributes:
        network: causal, int32 [B, T] to logits [B, T, vocab_size]; such as `Transformer`,
            `Recurrent` or `TCN`. Its fields `shape` and `vocab_size` are the shape of one sequence
            and the number of tokens; it is also given the token `vocab_size`, the beginning.
            With methods `initial_carry` and `step` it draws a sequence in one pass; without, in
            one pass a token.
        end: the token that ends a sequence, if they may end early: what follows it is the same
            token again, and counts for nothing.
        temperature: divides the logits in sampling.
        top_k: samples from so many most probable tokens only.
        top_p: samples from the fewest most probable tokens that have this probability together.
    """

    network: nn.Module
    end: int | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self):
        modules.event_shape(self.network, 'network')
        if getattr(self.network, 'vocab_size', None) is None:
            raise UserError('the network of a GPT needs a field vocab_size')
        if self.end is not None and not 0 <= self.end < self.network.vocab_size:
            raise UserError(f'GPT.end={self.end} is none of the {self.network.vocab_size} tokens')
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f'GPT.top_k must be at least 1, not {self.top_k}')

    def _first(self, num: int) -> Array:
        return jnp.full(num, self.network.vocab_size, jnp.int32)

    def _clean(self, x: Array) -> Array:
        return x

    def _element_log_probs(self, logits: Array, x: Array) -> tuple[Array, Array]:
        values = jnp.take_along_axis(jax.nn.log_softmax(logits), x[..., None], axis=-1)[..., 0]
        if self.end is None:
            return values, jnp.ones(x.shape, bool)
        ended = jnp.cumsum(x == self.end, axis=-1) - (x == self.end) > 0
        # A sequence that goes on after its end is impossible.
        values = jnp.where(ended, jnp.where(x == self.end, 0.0, -jnp.inf), values)
        return values, ~ended

    def _draw(self, key: Array, logits: Array, previous: Array) -> Array:
        logits = filter_logits(logits.astype(jnp.float32), self.temperature, self.top_k, self.top_p)
        token = jax.random.categorical(key, logits)
        return token if self.end is None else jnp.where(previous == self.end, self.end, token)


@dataclass(frozen=True)
class FrameModel(_Sequences):
    """An autoregressive model of frames of bits, independent given the frames before them
    (Boulanger-Lewandowski et al., 2012), such as piano rolls.

    Frames of -1 at the end of a sequence are padding and count for nothing. The parameter group is
    'network'; the loss is in nats a sequence. Metric: 'nats_per_token', a token being a frame.

    Attributes:
        network: causal, frames [B, T, D] to logits [B, T, D]; such as `TCN`, `Recurrent` or
            `Transformer`. Its field `shape` is the shape of one sequence. With methods
            `initial_carry` and `step` it draws a sequence in one pass.
    """

    network: nn.Module

    def __post_init__(self):
        if len(modules.event_shape(self.network, 'network')) != 2:
            raise UserError('the network of a FrameModel needs shape=(length, bits of a frame)')

    def _first(self, num: int) -> Array:
        return jnp.zeros((num, self.event_shape[1]), jnp.float32)

    def _clean(self, x: Array) -> Array:
        return jnp.maximum(x, 0.0)

    def _element_log_probs(self, logits: Array, x: Array) -> tuple[Array, Array]:
        counted = x[..., 0] >= 0
        values = jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)
        return jnp.where(counted, values, 0.0), counted

    def _draw(self, key: Array, logits: Array, previous: Array) -> Array:
        del previous
        return jax.random.bernoulli(key, jax.nn.sigmoid(logits))
