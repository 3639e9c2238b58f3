"""MADE: a masked autoencoder as an autoregressive model of bits."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, draws, flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.conditional import ConditionalModel, GuidedSampling
from genjax.models.precision import full_precision


@dataclass(frozen=True)
class MADE(ConditionalModel):
    """Masked autoencoder for distribution estimation, on bits (Germain et al., 2015).

    With several sets of masks, each update trains one, drawn at random; the model is their uniform
    mixture, with an exact log-probability. The parameter group is 'network'.

    Attributes:
        network: bits [B, *event] and the index of a set of masks to logits [B, *event]; such as
            `MaskedAutoencoder`. Its field `shape` is the shape of one example, `num_masks` the
            number of sets, and `degrees()[0]` the 1-based position of each element in each
            ordering. Sampling uses its methods `initial_carry` and `element`, if any, on a CPU.
        sampling: sampling options.
    """

    network: nn.Module
    sampling: GuidedSampling = field(default_factory=GuidedSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.network, 'network')

    @property
    def data_values(self) -> Values:
        """Bits, or probabilities of bits."""
        return Values('MADE', 0, 1)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        args = (batch['x'], 0, conditions.of_batch(self, batch))
        return flax_utils.initialise(key, {'network': (self._network, args)})

    @full_precision
    def log_prob(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> LogProb:
        """Computes the exact log-probability [B] of bits x under the mixture, given a label or
        context; `key` is not used. Without a label, that of p(x): of the null condition if
        `condition_dropout` is not 0, otherwise of the mixture over uniformly drawn labels.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        del key
        sets = jnp.arange(self.network.num_masks)

        def log_prob(condition: Array | None) -> Array:

            def of_set(index: Array) -> Array:
                args = (x, index, condition)
                logits, _ = flax_utils.apply(self._network, variables, 'network', *args)
                return _log_prob(logits, x)

            values = jax.lax.map(of_set, sets)
            return (jax.nn.logsumexp(values, axis=0) - jnp.log(len(sets)))[:, None]

        return LogProb(self._exact_log_probs(log_prob, len(x), label, context)[:, 0], 'exact')

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws bits [num, *event] as float32, element by element in the order of each set of
        masks; the numbers of samples per set differ by at most one. Missing labels are drawn
        uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        condition = self._sampling_condition(key, num, label, context)
        sets = self.network.num_masks
        rows = -(-num // sets)
        order_key, draw_key = jax.random.split(key)
        # Shuffle so that every sample has the same distribution.
        order = jax.random.permutation(order_key, sets * rows)[:num]
        if condition is not None:
            spread = jnp.zeros((sets * rows, condition.shape[-1])).at[order].set(condition)
            condition = spread.reshape(sets, rows, -1)

        def of_set(index: Array, key: Array, condition: Array | None) -> Array:
            return self._sample_set(variables, index, key, rows, condition)

        x = jax.vmap(of_set)(jnp.arange(sets), jax.random.split(draw_key, sets), condition)
        return x.reshape(sets * rows, *self.event_shape)[order]

    def _sample_set(
        self, variables: Variables, index: Array, key: Array, num: int, condition: Array | None
    ) -> Array:
        """Draws [num, D] under one set of masks."""
        places = jnp.argsort(jnp.asarray(self.network.degrees()[0])[index])

        def call(condition: Array | None, *args: Any, method: str) -> Any:
            args = (*args, index, condition)
            return flax_utils.apply(self._network, variables, 'network', *args, method=method)[0]

        def whole(condition: Array | None, x: Array, carry: tuple, t: Array) -> tuple[Array, tuple]:
            logits = call(condition, x, method='__call__').reshape(len(x), -1)
            return jax.lax.dynamic_index_in_dim(logits, places[t], 1, keepdims=False), carry

        def draw(network: Callable, carry: tuple) -> Array:
            network = self._guided(network, condition)

            def step(state: tuple[Array, tuple], inputs: tuple[Array, Array]):
                x, carry = state
                t, key = inputs
                logit, carry = network(x.reshape(num, *self.event_shape), carry, t)
                bit = draws.bernoulli(key, logit)
                return (jax.lax.dynamic_update_index_in_dim(x, bit, places[t], axis=1), carry), None

            inputs = jnp.arange(len(places)), jax.random.split(key, len(places))
            (x, _), _ = jax.lax.scan(step, (jnp.zeros((num, len(places))), carry), inputs)
            return x

        if getattr(self.network, 'element', None) is None:
            return draw(whole, ())
        units = self._network.initial_carry(num * self._passes)
        # An accelerator computes a whole pass in the time of a few small products.
        return jax.lax.platform_dependent(
            cpu=lambda: draw(functools.partial(call, method='element'), units),
            default=lambda: draw(whole, ()),
        )

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        condition = self._training_condition(batch, key)
        mask_key, dropout_key = jax.random.split(key)
        index = jax.random.randint(mask_key, (), 0, self.network.num_masks)
        args = (batch['x'], index, condition)
        logits, state = flax_utils.apply(
            self._network, variables, 'network', *args, train=True, key=dropout_key
        )
        return LossOutput(-_log_prob(logits, batch['x']), {}, state)


def _log_prob(logits: Array, x: Array) -> Array:
    values = x * logits - jax.nn.softplus(logits)
    return jnp.sum(values.reshape(len(x), -1), axis=-1)
