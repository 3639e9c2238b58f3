"""Base class of autoregressive models of sequences."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, flax_utils, prompts
from genjax.models.autoregressive.decoding import generate, uncached
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Variables
from genjax.models.conditional import ConditionalModel
from genjax.models.precision import full_precision


class SequenceModel(ConditionalModel, ABC):
    """Base class of autoregressive models of sequences.

    Subclasses have a causal `network` and implement its first input (`_first`), the replacement of
    padding (`_clean`) and its mask (`_counted`), the log-probabilities (`_element_log_probs`) and
    sampling (`_draw`).
    """

    network: nn.Module

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sequence."""
        return flax_utils.event_shape(self.network, 'network')

    @property
    def prompt_shape(self) -> tuple[int, ...]:
        return self.event_shape

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        args = (self._shift(batch['x']), conditions.of_batch(self, batch))
        return flax_utils.initialise(key, {'network': (self._network, args)})

    def log_prob(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> LogProb:
        """Computes the exact log-probability [B] of sequences x given a label or context; without
        one, see `token_log_probs`. `key` is not used.
        """
        tokens, _ = self.token_log_probs(variables, x, key, label=label, context=context)
        return LogProb(jnp.sum(tokens.value, axis=-1), tokens.kind)

    @full_precision
    def token_log_probs(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> tuple[LogProb, Array]:
        """Computes the log-probability of each element given those before it, [B, T], and a mask
        bool [B, T], False for padding, which has log-probability 0. `key` is not used.

        Without a label, that of p(x): of the null condition if `condition_dropout` is not 0,
        otherwise of the mixture over uniformly drawn labels.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        del key

        def log_probs(condition: Array | None) -> Array:
            args = (self._shift(x), condition)
            out, _ = flax_utils.apply(self._network, variables, 'network', *args)
            return self._element_log_probs(variables, out.astype(jnp.float32), x)

        values = self._exact_log_probs(log_probs, len(x), label, context)
        return LogProb(values, 'exact'), self._counted(x)

    def features(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the input of the network's last layer, a mean over the elements of x that are
        not padding: [B, D]. Without a label or context, that for the null condition.

        Raises:
            UserError: a label or context that the model does not take; or neither, and the model
                was trained without condition dropout.
        """
        condition = self._given_or_null('features', len(x), label, context)
        args = (self._shift(x), condition)
        _, h = flax_utils.hidden(self._network, variables, 'network', *args)
        counted = self._counted(x)
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
        prompt: Array | None = None,
    ) -> Array:
        """Draws [num, length, ...] element by element, with the network's cache if it has one.
        Missing labels are drawn uniformly. The first elements are the prompt [P, ...] or
        [num, P, ...], if any.

        Raises:
            UserError: a label, context or prompt that the model does not take, or a missing
                context.
        """
        condition, width = self._sampling_condition(key, num, label, context), self._width
        elements, is_given = prompts.padded(self, num, prompt, self._first(1).dtype)
        first = self._first(num * width)
        condition, elements = jax.tree.map(
            lambda a: jnp.repeat(a, width, axis=0), (condition, elements)
        )

        def draw(*args: Any) -> Array:
            return self._draw(variables, *args)

        def call(*args: Any, method: str) -> Any:
            return flax_utils.apply(self._network, variables, 'network', *args, method=method)[0]

        rows = num * width * self._passes
        if hasattr(self.network, 'step'):

            def one(*args: Any) -> Any:
                return call(*args, method='step')

            carry = self._network.initial_carry(rows)
        else:
            one = uncached(lambda *args: call(*args, method='__call__'))
            carry = jnp.zeros((rows, *self.event_shape), first.dtype)

        def network(condition: Array | None, *args: Any) -> tuple[Array, Any]:
            return one(*args, condition)

        step, prompt = self._guided(network, condition), (elements, is_given)
        resized = getattr(self._network, 'resized', None)
        return self._generate(step, carry, first, draw, key, prompt, resized)

    @property
    def _width(self) -> int:
        """Rows of the batch for each sample."""
        return 1

    def _generate(
        self,
        step: Callable[[Array, Any, Array], tuple[Array, Any]],
        carry: Any,
        first: Array,
        draw: Callable[[Array, Array, Array], Array],
        key: Array,
        prompt: tuple[Array, Array],
        resized: Callable[[Any, int], Any] | None,
    ) -> Array:
        """Draws sequences; the arguments are those of `decoding.generate`."""
        return generate(step, carry, first, draw, key, prompt, resized)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        condition = self._training_condition(batch, key)
        x, (key, element_key) = batch['x'], jax.random.split(key)
        args = (self._shift(x), condition)
        out, state = flax_utils.apply(
            self._network, variables, 'network', *args, train=True, key=key
        )
        values = self._element_log_probs(
            variables, out.astype(jnp.float32), x, train=True, key=element_key
        )
        nats = -jnp.sum(values, axis=-1)
        per_token = nats / jnp.maximum(jnp.sum(self._counted(x), axis=-1), 1)
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
    def _counted(self, x: Array) -> Array:
        """Marks the elements of sequences x that are not padding, bool [B, T]."""

    @abstractmethod
    def _element_log_probs(
        self, variables: Variables, out: Array, x: Array, **options: Any
    ) -> Array:
        """Computes the log-probability of each element of x given the network's outputs, [B, T], 0
        for padding; `options` are `train` and `key` in training.
        """

    @abstractmethod
    def _draw(self, variables: Variables, key: Array, out: Array, previous: Array) -> Array:
        """Draws the next elements [B, ...] given network outputs and the previous elements."""
