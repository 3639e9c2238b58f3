"""The generative adversarial network."""

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import classes, modules
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.gan.objectives import (
    OBJECTIVES,
    Objective,
    gradient_norm_penalty,
    interpolate,
    r1_penalty,
)


@dataclass(frozen=True)
class GAN:
    """A generator against a discriminator (Goodfellow et al., 2014).

    Parameter groups and phases: 'discriminator', then 'generator'. Each phase updates the state
    (batch statistics, spectral-norm vectors) of its own player only. Penalties hold per example, so
    a discriminator must not normalise across examples.

    Attributes:
        generator: codes [B, latent_dim] to data; its field `shape` is the shape of one example.
        discriminator: data to one logit an example, [B] or [B, 1].
        latent_dim: dimensions of a code, standard normal.
        loss: 'non_saturating', 'hinge', or 'wasserstein'.
        r1: weight γ of γ/2 ‖∇D(x)‖² at data (Mescheder et al., 2018).
        gradient_penalty: weight of (‖∇D(x)‖ - 1)² between data and samples (Gulrajani et al.,
            2017).
        num_critic: discriminator updates a step, each on its own slice of the batch.
        num_classes: when given, both networks are cloned with this `num_classes` and take a label.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent_dim: int
    loss: Literal['non_saturating', 'hinge', 'wasserstein'] = 'non_saturating'
    r1: float = 0.0
    gradient_penalty: float = 0.0
    num_critic: int = 1
    num_classes: int | None = None

    def __post_init__(self):
        modules.event_shape(self.generator, 'generator')
        if self.loss not in OBJECTIVES:
            raise UserError(f'GAN.loss is one of {", ".join(OBJECTIVES)}, not {self.loss!r}')
        for name in ('latent_dim', 'num_critic'):
            if getattr(self, name) < 1:
                raise UserError(f'GAN.{name} must be at least 1, not {getattr(self, name)}')
        classes.check_takes_labels(self, generator=self.generator, discriminator=self.discriminator)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return modules.event_shape(self.generator, 'generator')

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator's turn, then the generator's."""
        return (
            Phase('discriminator', ('discriminator',), self._discriminator_loss, self.num_critic),
            Phase('generator', ('generator',), self._generator_loss),
        )

    @property
    def _objective(self) -> Objective:
        return OBJECTIVES[self.loss]

    def _network(self, role: str) -> nn.Module:
        return classes.with_classes(getattr(self, role), self.num_classes)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes and dtypes only.

        Raises:
            UserError: `num_classes` is set and the data have no labels.
        """
        z = jnp.zeros((len(batch['x']), self.latent_dim))
        label = classes.labels(self, batch)
        return modules.initialise(
            key,
            {
                'generator': (self._network('generator'), (z, *label)),
                'discriminator': (self._network('discriminator'), (batch['x'], *label)),
            },
        )

    def sample(
        self, variables: Variables, key: Array, num: int, *, label: Array | None = None
    ) -> Array:
        """Draws [num, *event]; without a `label`, a model with classes draws those uniformly.

        Raises:
            UserError: a label for a model without classes.
        """
        z_key, label_key = jax.random.split(key)
        z = jax.random.normal(z_key, (num, self.latent_dim))
        label = classes.sampled_labels(self, label_key, num, label)
        return self._generate(variables, z, *label)[0]

    def _generate(
        self, variables: Variables, z: Array, *label: Array, **options: Any
    ) -> tuple[Array, Any]:
        x, state = modules.apply(
            self._network('generator'), variables, 'generator', z, *label, **options
        )
        return x.astype(jnp.float32), state

    def _logits(
        self, variables: Variables, x: Array, *label: Array, key: Array
    ) -> tuple[Array, Any]:
        logits, state = modules.apply(
            self._network('discriminator'),
            variables,
            'discriminator',
            x,
            *label,
            train=True,
            key=key,
        )
        return logits.reshape(len(x)).astype(jnp.float32), state

    def _logits_and_gradient(
        self, variables: Variables, x: Array, *label: Array, key: Array
    ) -> tuple[Array, Any, Array]:
        """Logits [B], the new state, and the gradient of each logit with respect to its example."""
        logits, pull_back, state = jax.vjp(
            lambda x: self._logits(variables, x, *label, key=key), x, has_aux=True
        )
        return logits, state, pull_back(jnp.ones_like(logits))[0]

    def _discriminator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        z_key, generator_key, real_key, fake_key, penalty_key, line_key = jax.random.split(key, 6)
        real, label = batch['x'].astype(jnp.float32), classes.labels(self, batch)
        z = jax.random.normal(z_key, (len(real), self.latent_dim))
        fake, _ = self._generate(variables, z, *label, train=True, key=generator_key)

        penalties = {}
        if _is_on(self.r1):
            real_logits, state, gradient = self._logits_and_gradient(
                variables, real, *label, key=real_key
            )
            penalties['r1'] = self.r1 * r1_penalty(gradient)
        else:
            real_logits, state = self._logits(variables, real, *label, key=real_key)
        variables = {**variables, 'state': state}
        fake_logits, state = self._logits(variables, fake, *label, key=fake_key)
        if _is_on(self.gradient_penalty):
            between = interpolate(line_key, real, fake)
            gradient = self._logits_and_gradient(variables, between, *label, key=penalty_key)[2]
            penalties['gradient_penalty'] = self.gradient_penalty * gradient_norm_penalty(gradient)

        values = self._objective.real(real_logits) + self._objective.fake(fake_logits)
        metrics = {
            'real_logit': real_logits,
            'fake_logit': fake_logits,
            'wasserstein': real_logits - fake_logits,
            **penalties,
        }
        return LossOutput(sum(penalties.values(), start=values), metrics, state)

    def _generator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        z_key, generator_key, discriminator_key = jax.random.split(key, 3)
        label = classes.labels(self, batch)
        z = jax.random.normal(z_key, (len(batch['x']), self.latent_dim))
        fake, state = self._generate(variables, z, *label, train=True, key=generator_key)
        logits, _ = self._logits(variables, fake, *label, key=discriminator_key)
        return LossOutput(self._objective.generator(logits), {}, state)


def _is_on(weight: Any) -> bool:
    """Whether a penalty is computed at all; a traced weight may become non-zero, so it is."""
    return not isinstance(weight, int | float) or weight != 0
