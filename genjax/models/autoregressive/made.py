"""MADE: a masked autoencoder as an autoregressive model of bits."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, draws, flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.precision import full_precision


@dataclass(frozen=True)
class MADE:
    """Masked autoencoder for distribution estimation, on bits (Germain et al., 2015).

    With several sets of masks, each update trains one, drawn at random; the model is their uniform
    mixture, with an exact log-probability. The parameter group is 'network'.

    Attributes:
        network: bits [B, *event] and the index of a set of masks to logits [B, *event]; such as
            `MaskedAutoencoder`. Its field `shape` is the shape of one example, `num_masks` the
            number of sets, and `degrees()[0]` the 1-based position of each element in each
            ordering.
    """

    network: nn.Module

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
        return flax_utils.initialise(key, {'network': (self.network, (batch['x'],))})

    @full_precision
    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes the exact log-probability [B] of bits x under the mixture; `key` is not used."""
        del key

        def of_set(index: Array) -> Array:
            logits, _ = flax_utils.apply(self.network, variables, 'network', x, index)
            return _log_prob(logits, x)

        sets = jnp.arange(self.network.num_masks)
        values = jax.lax.map(of_set, sets)
        return LogProb(jax.nn.logsumexp(values, axis=0) - jnp.log(len(sets)), 'exact')

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
        masks; the numbers of samples per set differ by at most one. Raises a UserError when given a
        condition.
        """
        conditions.refuse(self, label, context)
        sets = self.network.num_masks
        rows = -(-num // sets)
        order_key, draw_key = jax.random.split(key)
        x = jax.vmap(lambda index, key: self._sample_set(variables, index, key, rows))(
            jnp.arange(sets), jax.random.split(draw_key, sets)
        )
        x = x.reshape(sets * rows, *self.event_shape)
        # Shuffle so that every sample has the same distribution.
        return jax.random.permutation(order_key, x)[:num]

    def _sample_set(self, variables: Variables, index: Array, key: Array, num: int) -> Array:
        """Draws [num, D] under one set of masks."""
        places = jnp.argsort(jnp.asarray(self.network.degrees()[0])[index])

        def draw(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            place, key = inputs
            shaped = x.reshape(num, *self.event_shape)
            logits, _ = flax_utils.apply(self.network, variables, 'network', shaped, index)
            logit = jax.lax.dynamic_index_in_dim(logits.reshape(num, -1), place, 1, keepdims=False)
            bit = draws.bernoulli(key, logit)
            return jax.lax.dynamic_update_index_in_dim(x, bit, place, axis=1), None

        keys = jax.random.split(key, len(places))
        return jax.lax.scan(draw, jnp.zeros((num, len(places))), (places, keys))[0]

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        mask_key, dropout_key = jax.random.split(key)
        index = jax.random.randint(mask_key, (), 0, self.network.num_masks)
        logits, state = flax_utils.apply(
            self.network, variables, 'network', batch['x'], index, train=True, key=dropout_key
        )
        return LossOutput(-_log_prob(logits, batch['x']), {}, state)


def _log_prob(logits: Array, x: Array) -> Array:
    values = x * logits - jax.nn.softplus(logits)
    return jnp.sum(values.reshape(len(x), -1), axis=-1)
