"""State that follows the logits of a discriminator: their averages, and adaptive augmentation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array

from genjax.models.base import average_states
from genjax.models.gan.augment import Augment

LECAM_DECAY = 0.99


@dataclass(frozen=True)
class LogitState:
    """The collections `lecam`, moving averages of real and fake logits, and `augment`, the
    probability of an adaptive augmentation, of the discriminator's state.

    Attributes:
        averages: keep the averages.
        augment: the augmentation.
    """

    averages: bool
    augment: Augment | None

    @property
    def _adapts(self) -> bool:
        return self.augment is not None and self.augment.target is not None

    def start(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Adds the initial collections."""
        new = {}
        if self.averages:
            new['lecam'] = {'real': jnp.zeros(()), 'fake': jnp.zeros(())}
        if self._adapts:
            new['augment'] = {'probability': jnp.asarray(self.augment.probability, jnp.float32)}
        return _with(state, new)

    def after(
        self, state: Mapping[str, Any], real: Array, fake: Array, counts: Array
    ) -> tuple[Mapping[str, Any], dict[str, Array]]:
        """Returns the state, for `merged`, and metrics after a micro-batch with these logits [B],
        of which those in the mask `counts` count.
        """
        new, metrics = {}, {}
        if self.averages:
            old = state['discriminator']['lecam']
            new['lecam'] = {
                name: LECAM_DECAY * old[name] + (1 - LECAM_DECAY) * _mean(logits, counts)
                for name, logits in (('real', real), ('fake', fake))
            }
        if self._adapts:
            probability = state['discriminator']['augment']['probability']
            new['augment'] = {'probability': probability, 'sign': _mean(jnp.sign(real), counts)}
            metrics['augment'] = probability
        return _with(state, new), metrics

    def merged(self, before: Any, states: Any, weights: Array) -> Any:
        """Merges the states of the discriminator's micro-batches: averages them, and adapts the
        augmentation probability to the mean sign of all real logits.
        """
        if not self._adapts:
            return average_states(before, states, weights)
        unmoved = before['discriminator']['augment']
        before = _with(before, {'augment': {**unmoved, 'sign': jnp.zeros(())}})
        state = average_states(before, states, weights)
        probability, sign = (state['discriminator']['augment'][k] for k in ('probability', 'sign'))
        probability = self.augment.adapted(probability, sign, jnp.sum(weights))
        return _with(state, {'augment': {'probability': probability}})


def _mean(values: Array, counts: Array) -> Array:
    """Masked mean, a scalar."""
    return jnp.sum(jnp.where(counts, values, 0.0)) / jnp.maximum(jnp.sum(counts), 1)


def _with(state: Mapping[str, Any], collections: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replaces or adds collections of the discriminator's state."""
    if not collections:
        return state
    return {**state, 'discriminator': {**state.get('discriminator', {}), **collections}}
