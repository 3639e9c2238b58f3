"""The discriminator as the players meet it: of augmented, packed examples, read as logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import classes, modules
from genjax.models.base import Variables
from genjax.models.gan import classifying
from genjax.models.gan.augment import Augment


class Verdict(NamedTuple):
    """What the discriminator says of B examples, or B packs of them.

    Attributes:
        logits: of being real, [B].
        class_logits: [B, K], of a discriminator that classifies.
        gradient: () -> the gradient of each logit with respect to what the discriminator saw.
    """

    logits: Array
    class_logits: Array | None
    gradient: Callable[[], Array]


@dataclass(frozen=True)
class Judge:
    """A discriminator with what stands before and behind it; the fields are those of `GAN`."""

    discriminator: nn.Module
    pack: int
    augment: Augment | None
    num_classes: int | None
    conditioning: classifying.Conditioning

    @property
    def network(self) -> nn.Module:
        """The discriminator, made to take a label or to give class logits."""
        if self.conditioning == 'input':
            return classes.with_classes(self.discriminator, self.num_classes)
        return self.discriminator.clone(shape=(1 + self.num_classes,))

    def inputs(self, seen: Array, label: tuple[Array, ...]) -> tuple[Array, ...]:
        """What the network is called with."""
        return (seen, *label) if self.conditioning == 'input' else (seen,)

    def packed(self, x: Array) -> Array:
        """[B, ..., C] -> [B / pack, ..., pack * C].

        Raises:
            UserError: `pack` does not divide B.
        """
        if len(x) % self.pack:
            raise UserError(f'GAN.pack={self.pack} does not divide a batch of {len(x)}')
        x = jnp.moveaxis(x.reshape(-1, self.pack, *x.shape[1:]), 1, -2)
        return x.reshape(*x.shape[:-2], -1)

    def shown(self, variables: Variables, x: Array, key: Array) -> Array:
        """Examples as the discriminator sees them: augmented, then packed."""
        if self.augment is not None:
            state = variables['state'].get('discriminator', {}).get('augment', {})
            x = self.augment(x, key, state.get('probability', self.augment.probability))
        return self.packed(x)

    def __call__(
        self, variables: Variables, seen: Array, *label: Array, key: Array
    ) -> tuple[Verdict, Any]:
        """The verdict on what is shown, in training, and the new state."""

        def look(seen):
            output, state = modules.apply(
                self.network,
                variables,
                'discriminator',
                *self.inputs(seen, label),
                train=True,
                key=key,
            )
            logits, class_logits = classifying.read(output, self.conditioning)
            return logits, (class_logits, state)

        logits, pull_back, (class_logits, state) = jax.vjp(look, seen, has_aux=True)
        return Verdict(logits, class_logits, lambda: pull_back(jnp.ones_like(logits))[0]), state

    def read(self, variables: Variables, x: Array, *label: Array) -> tuple[Array, Array | None]:
        """Logits, and class logits if there are any, of examples as they are, in use."""
        inputs = self.inputs(self.packed(x), label)
        output, _ = modules.apply(self.network, variables, 'discriminator', *inputs)
        return classifying.read(output, self.conditioning)
