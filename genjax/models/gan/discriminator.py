"""Discriminator with augmentation, packing and class heads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Variables
from genjax.models.gan import auxiliary_classifier
from genjax.models.gan.augment import Augment
from genjax.networks.attention import unfused


class Verdict(NamedTuple):
    """Output of the discriminator for B examples, or B packs of examples.

    Attributes:
        logits: of being real, [B].
        class_logits: [B, K]; None for a discriminator without class heads.
        gradient: () -> the gradient of each logit with respect to its examples before
            augmentation, packed.
    """

    logits: Array
    class_logits: Array | None
    gradient: Callable[[], Array]


class Deal(NamedTuple):
    """Inputs of a phase's loss.

    Attributes:
        real: data [B, *event].
        fake: samples [B, *event].
        condition: labels or contexts of the samples, see `conditions`.
        real_key: key for augmenting data.
        fake_key: key for augmenting samples.
        state: the state after the generator's call.
        near: key -> samples of nearby codes (`Consistency`).
        handed: what a deal of the same samples, without generating them again, is made from.
    """

    real: Array
    fake: Array
    condition: Array | None
    real_key: Array
    fake_key: Array
    state: Any
    near: Callable[[Array], Array]
    handed: Any


@dataclass(frozen=True)
class Judge:
    """Discriminator with augmentation, packing and class heads; the fields are those of `GAN`."""

    discriminator: nn.Module
    pack: int
    augment: Augment | None
    num_classes: int | None
    context_shape: tuple[int, ...] | None
    conditioning: auxiliary_classifier.Conditioning

    @property
    def network(self) -> nn.Module:
        """The discriminator, configured for conditions as input or for class logits."""
        if self.conditioning == 'input':
            return conditions.with_condition(self.discriminator, self)
        return self.discriminator.clone(shape=(1 + self.num_classes,))

    def inputs(self, seen: Array, condition: Array | None) -> tuple[Array | None, ...]:
        """Arguments of the network."""
        return (seen, condition if self.conditioning == 'input' else None)

    def keeps_batch_statistics(self, shape: tuple[int, ...]) -> bool:
        """True if the network, on examples of this shape, uses batch normalisation."""

        def state() -> Any:
            conditional = conditions.is_conditional(self)
            condition = jnp.zeros((1, conditions.features(self))) if conditional else None
            inputs = self.inputs(self.packed(jnp.zeros((self.pack, *shape))), condition)
            return flax_utils.initialise(jax.random.key(0), {'d': (self.network, inputs)})['state']

        return flax_utils.has_batch_statistics(jax.eval_shape(state))

    def packed(self, x: Array) -> Array:
        """Packs examples along the channels, [B, ..., C] -> [B / pack, ..., pack * C].

        Raises:
            UserError: `pack` does not divide B.
        """
        if len(x) % self.pack:
            raise UserError(f'GAN.pack={self.pack} does not divide a batch of {len(x)}')
        x = jnp.moveaxis(x.reshape(-1, self.pack, *x.shape[1:]), 1, -2)
        return x.reshape(*x.shape[:-2], -1)

    def __call__(
        self,
        variables: Variables,
        x: Array,
        condition: Array | None,
        *,
        keys: tuple[Array, Array],
    ) -> tuple[Verdict, Any]:
        """Applies the discriminator in training to examples [B, *event], augmented and packed.

        Args:
            variables: variables of all groups.
            x: the examples.
            condition: their labels or contexts, for a discriminator that takes them as input.
            keys: for augmentation and for the network.

        Returns:
            The verdict and the new state.
        """

        def look(x):
            output, state = flax_utils.apply(
                self.network,
                variables,
                'discriminator',
                *self.inputs(self.packed(self._augmented(variables, x, keys[0])), condition),
                train=True,
                key=keys[1],
            )
            logits, class_logits = auxiliary_classifier.read(output, self.conditioning)
            return logits, (class_logits, state)

        with unfused():  # training differentiates through the gradient's forward pass
            logits, pull_back, (class_logits, state) = jax.vjp(look, x, has_aux=True)

        def gradient():
            return self.packed(pull_back(jnp.ones_like(logits))[0])

        return Verdict(logits, class_logits, gradient), state

    def _augmented(self, variables: Variables, x: Array, key: Array) -> Array:
        if self.augment is None:
            return x
        state = variables['state'].get('discriminator', {}).get('augment', {})
        return self.augment(x, key, state.get('probability', self.augment.probability))

    def read(
        self, variables: Variables, x: Array, condition: Array | None
    ) -> tuple[Array, Array | None]:
        """Computes logits and class logits (or None) in evaluation mode, without augmentation."""
        inputs = self.inputs(self.packed(x), condition)
        output, _ = flax_utils.apply(self.network, variables, 'discriminator', *inputs)
        return auxiliary_classifier.read(output, self.conditioning)

    def features(
        self,
        variables: Variables,
        x: Array,
        condition: Array | None,
        *,
        keys: tuple[Array, Array] | None = None,
    ) -> Array:
        """Computes features [B / pack, D], in training with the keys of a call, or in evaluation
        mode, without augmentation.
        """
        train, (augment_key, key) = keys is not None, keys or (None, None)
        seen = self.packed(self._augmented(variables, x, augment_key) if train else x)
        inputs = self.inputs(seen, condition)
        _, h = flax_utils.hidden(
            self.network, variables, 'discriminator', *inputs, train=train, key=key
        )
        return flax_utils.pooled(h)
