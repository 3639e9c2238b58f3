"""Guides: the configuration of guidance, and the networks that it needs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.checks import check_number
from genjax.models.diffusion.denoising import Denoising
from genjax.models.diffusion.guided_denoisers import (
    autoguidance,
    classifier,
    classifier_free,
    interval,
    rescaled,
)
from genjax.models.diffusion.parameterisations import Prediction
from genjax.models.diffusion.samplers import Denoiser


class Guide(ABC):
    """Base class of guides.

    Attributes:
        weight: guidance weight.
        interval: minimum and maximum time of guidance.
    """

    weight: float
    interval: tuple[float, float]

    FREE: ClassVar[tuple[str, ...]] = ('weight', 'interval')

    def check(self, model: Denoising) -> None:
        """Raises a UserError if the guide does not fit the model."""
        del model
        low, high = self.interval
        if not 0.0 <= low < high <= 1.0:
            name = type(self).__name__
            raise UserError(f'{name}.interval must be two times in [0, 1], not {self.interval}')

    def networks(self, model: Denoising) -> dict[str, nn.Module]:
        """The guide's own networks by parameter group."""
        del model
        return {}

    def phases(self, model: Denoising) -> tuple[Phase, ...]:
        """The phases that train the guide's own networks."""
        del model
        return ()

    @abstractmethod
    def denoiser(self, model: Denoising, variables: Variables, condition: Array | None) -> Denoiser:
        """The guided denoiser, at all times."""

    def guided(self, model: Denoising, variables: Variables, condition: Array | None) -> Denoiser:
        """Returns the denoiser, guided within the interval.

        Raises:
            UserError: a network of the guide has not been trained.
        """
        for group in self.networks(model):
            if group not in variables['params']:
                raise UserError(
                    f'{type(self).__name__} needs its network {group!r}, which this model was not '
                    f'trained with: train with sampling.guide={type(self).__name__}(...)'
                )
        denoise = self.denoiser(model, variables, condition)
        if self.interval == (0.0, 1.0):
            return denoise
        return interval(denoise, model.denoiser(variables, condition), *self.interval)


@dataclass(frozen=True)
class ClassifierFree(Guide):
    """Classifier-free guidance, see `guided_denoisers.classifier_free`.

    Attributes:
        weight: 1 is no guidance.
        interval: minimum and maximum time of guidance.
        rescale: φ of `guided_denoisers.rescaled`; Lin et al. (2024) use .7 with a weight of 7.5.
    """

    weight: float = 2.0
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0

    FREE: ClassVar[tuple[str, ...]] = ('weight', 'interval', 'rescale')

    def check(self, model: Denoising) -> None:
        """Raises a UserError for a model without conditions or without condition dropout."""
        super().check(model)
        check_number('ClassifierFree.rescale', self.rescale, high=1.0)
        if not conditions.is_conditional(model):
            raise UserError(
                'ClassifierFree needs DiffusionModel.num_classes or DiffusionModel.context_shape'
            )
        model.check_learns_null('ClassifierFree')

    def denoiser(self, model: Denoising, variables: Variables, condition: Array | None) -> Denoiser:

        def denoise(x: Array, t: Array, condition: Array) -> Prediction:
            return model.denoise(variables, x, t, condition)

        condition = conditions.with_null(model, condition)
        null = conditions.null(model, len(condition))
        if isinstance(self.rescale, int | float) and self.rescale == 0:
            return classifier_free(denoise, condition, null, self.weight)

        def rescale(guided: Prediction, strong: Prediction, x: Array, t: Array) -> Prediction:
            parts = model.path, model.parameterisation
            return rescaled(guided, strong, *parts, x, t, self.rescale)

        return classifier_free(denoise, condition, null, self.weight, rescale)


@dataclass(frozen=True)
class Autoguidance(Guide):
    """Autoguidance by a weaker network, trained alongside the model on the same loss (see
    `guided_denoisers.autoguidance`). Group and phase: 'weak'.

    Attributes:
        network: a smaller variant of the model's network.
    """

    network: nn.Module
    weight: float = 2.0
    interval: tuple[float, float] = (0.0, 1.0)

    TRAINED: ClassVar[tuple[str, ...]] = ('network',)

    def check(self, model: Denoising) -> None:
        """Raises a UserError for a network of another shape, or without the model's condition."""
        super().check(model)
        if flax_utils.event_shape(self.network, 'network') != model.event_shape:
            raise UserError(f'Autoguidance.network.shape must be {model.event_shape}')
        conditions.check(model, **{'Autoguidance network': self.network})

    def networks(self, model: Denoising) -> dict[str, nn.Module]:
        return {'weak': model.with_condition(self.network)}

    def phases(self, model: Denoising) -> tuple[Phase, ...]:

        def loss(variables: Variables, batch: Batch, key: Array) -> LossOutput:
            return model.denoising_loss(variables, batch, key, group='weak')

        return (Phase('weak', ('weak',), loss),)

    def denoiser(self, model: Denoising, variables: Variables, condition: Array | None) -> Denoiser:
        strong = model.denoiser(variables, condition)
        weak = model.denoiser(variables, condition, group='weak')
        return autoguidance(strong, weak, self.weight)


@dataclass(frozen=True)
class Classifier(Guide):
    """Classifier guidance, with a classifier of noisy data trained alongside the model (see
    `guided_denoisers.classifier`). Group and phase: 'classifier'. Metric: 'accuracy'.

    Attributes:
        network: `(x_t [B, *event], time [B]) -> logits [B, num_classes]`, such as `TimeMLP`.
    """

    network: nn.Module
    weight: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    TRAINED: ClassVar[tuple[str, ...]] = ('network',)

    def check(self, model: Denoising) -> None:
        """Raises a UserError for a model without classes, or if the number of logits differs."""
        super().check(model)
        if model.num_classes is None:
            raise UserError('Classifier needs DiffusionModel.num_classes')
        shape = getattr(self.network, 'shape', None)
        if shape is not None and tuple(shape) != (model.num_classes,):
            raise UserError(
                f'Classifier.network gives logits of shape {tuple(shape)}, and'
                f' DiffusionModel.num_classes={model.num_classes}: set its shape to that'
            )

    def networks(self, model: Denoising) -> dict[str, nn.Module]:
        return {'classifier': model.with_times(self.network)}

    def phases(self, model: Denoising) -> tuple[Phase, ...]:
        """The classifier's phase: cross-entropy in nats on noisy data."""

        def loss(variables: Variables, batch: Batch, key: Array) -> LossOutput:
            diffuse_key, key = jax.random.split(key)
            label = conditions.of_batch(model, batch)
            x = batch['x'].astype(jnp.float32)
            x, t, _ = model.diffuse(diffuse_key, x, batch.get('mask'), label)
            logits, state = self._logits(model, variables, x, t, train=True, key=key)
            values = -jnp.sum(label * logits, axis=-1)
            accuracy = jnp.argmax(logits, axis=-1) == batch['label']
            return LossOutput(values, {'accuracy': accuracy}, state)

        return (Phase('classifier', ('classifier',), loss),)

    def denoiser(self, model: Denoising, variables: Variables, condition: Array | None) -> Denoiser:

        def log_prob(x: Array, t: Array) -> Array:
            t = jnp.broadcast_to(t, (len(x), *(1,) * (x.ndim - 1)))
            logits, _ = self._logits(model, variables, x, t)
            return jnp.sum(condition[:, : model.num_classes] * logits, axis=-1)

        denoise = model.denoiser(variables, condition)
        return classifier(denoise, model.path, log_prob, self.weight)

    def _logits(
        self, model: Denoising, variables: Variables, x: Array, t: Array, **options: Any
    ) -> tuple[Array, Any]:
        x, time = model.network_inputs(x, t)
        network = self.networks(model)['classifier']
        logits, state = flax_utils.apply(network, variables, 'classifier', x, time, **options)
        return jax.nn.log_softmax(logits.astype(jnp.float32)), state
