"""Base class of autoregressive models of sequences."""

from abc import ABC, abstractmethod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, flax_utils
from genjax.models.autoregressive.decoding import generate, uncached
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Variables
from genjax.models.precision import full_precision


class SequenceModel(ABC):
    """Base class of autoregressive models of sequences.

    Subclasses have a causal `network` and implement its first input (`_first`), the replacement of
    padding (`_clean`), the log-probabilities (`_element_log_probs`) and sampling (`_draw`).
    """

    network: nn.Module

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sequence."""
        return flax_utils.event_shape(self.network, 'network')

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        return flax_utils.initialise(key, {'network': (self.network, (self._shift(batch['x']),))})

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes the exact log-probability [B] of sequences x; `key` is not used."""
        tokens, _ = self.token_log_probs(variables, x, key)
        return LogProb(jnp.sum(tokens.value, axis=-1), tokens.kind)

    @full_precision
    def token_log_probs(self, variables: Variables, x: Array, key: Array) -> tuple[LogProb, Array]:
        """Computes the log-probability of each element given those before it, [B, T], and a mask
        bool [B, T], False for padding, which has log-probability 0. `key` is not used.
        """
        del key
        out, _ = flax_utils.apply(self.network, variables, 'network', self._shift(x))
        values, counted = self._element_log_probs(variables, out.astype(jnp.float32), x)
        return LogProb(values, 'exact'), counted

    def features(self, variables: Variables, x: Array) -> Array:
        """Computes the input of the network's last layer, a mean over the elements of x that are
        not padding: [B, D].
        """
        out, h = flax_utils.hidden(self.network, variables, 'network', self._shift(x))
        _, counted = self._element_log_probs(variables, out.astype(jnp.float32), x)
        total = jnp.sum(jnp.where(counted[..., None], h, 0.0), axis=1)
        return total / jnp.maximum(jnp.sum(counted, axis=1), 1)[:, None]

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws [num, length, ...] element by element, with the network's cache if it has one.
        Raises a UserError when given a condition.
        """
        conditions.refuse(self, label, context)
        first = self._first(num)

        def draw(*args: Any) -> Array:
            return self._draw(variables, *args)

        def call(*args: Any, method: str) -> Any:
            return flax_utils.apply(self.network, variables, 'network', *args, method=method)[0]

        if hasattr(self.network, 'step'):

            def step(*args: Any) -> Any:
                return call(*args, method='step')

            carry = self.network.initial_carry(num)
        else:
            step, carry = uncached(lambda x: call(x, method='__call__'), first, self.event_shape[0])
        return generate(step, carry, first, draw, key, self.event_shape[0])

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        x, (key, element_key) = batch['x'], jax.random.split(key)
        out, state = flax_utils.apply(
            self.network, variables, 'network', self._shift(x), train=True, key=key
        )
        values, counted = self._element_log_probs(
            variables, out.astype(jnp.float32), x, train=True, key=element_key
        )
        nats = -jnp.sum(values, axis=-1)
        per_token = nats / jnp.maximum(jnp.sum(counted, axis=-1), 1)
        return LossOutput(nats, {'nats_per_token': per_token}, state)

    def _shift(self, x: Array) -> Array:
        """Computes the network's input: the first input, then all elements but the last."""
        return jnp.concatenate([self._first(len(x))[:, None], self._clean(x)[:, :-1]], axis=1)

    @abstractmethod
    def _first(self, num: int) -> Array:
        """Returns the network's input before the first element, [num, ...]."""

    @abstractmethod
    def _clean(self, x: Array) -> Array:
        """Replaces padding in sequences x by valid inputs of the network."""

    @abstractmethod
    def _element_log_probs(
        self, variables: Variables, out: Array, x: Array, **options: Any
    ) -> tuple[Array, Array]:
        """Computes the log-probability of each element of x given the network's outputs, and a mask
        that is False for padding, both [B, T]; `options` are `train` and `key` in training.
        """

    @abstractmethod
    def _draw(self, variables: Variables, key: Array, out: Array, previous: Array) -> Array:
        """Draws the next elements [B, ...] given network outputs and the previous elements."""
