"""Guides of a diffusion model: the field that says how its samples are guided."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import flax_utils, labels
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.diffusion import guidance
from genjax.models.diffusion.samplers import Denoiser

if TYPE_CHECKING:
    from genjax.models.diffusion.diffusion import DiffusionModel


class Guide:
    """Base class.

    Attributes:
        weight: how strong it is.
        interval: the least and the greatest time at which it guides.
    """

    weight: float
    interval: tuple[float, float]

    FREE: ClassVar[tuple[str, ...]] = ('weight', 'interval')

    def check(self, model: 'DiffusionModel') -> None:
        """Raises a UserError when the model cannot be guided so."""
        del model
        low, high = self.interval
        if not 0.0 <= low < high <= 1.0:
            name = type(self).__name__
            raise UserError(f'{name}.interval must be two times in [0, 1], not {self.interval}')

    def networks(self, model: 'DiffusionModel') -> dict[str, nn.Module]:
        """The networks that are trained for it, by their groups."""
        del model
        return {}

    def phases(self, model: 'DiffusionModel') -> tuple[Phase, ...]:
        """The turns in which these are trained."""
        del model
        return ()

    def denoiser(self, model: 'DiffusionModel', variables: Variables, *label: Array) -> Denoiser:
        """The guided denoiser, at all times."""
        raise NotImplementedError

    def guided(self, model: 'DiffusionModel', variables: Variables, *label: Array) -> Denoiser:
        """The guided denoiser, within the interval.

        Raises:
            UserError: a network of its own has not been trained.
        """
        for group in self.networks(model):
            if group not in variables['params']:
                raise UserError(
                    f'{type(self).__name__} needs its network {group!r}, which this model was not '
                    f'trained with: train with sampling.guide={type(self).__name__}(...)'
                )
        denoise = self.denoiser(model, variables, *label)
        if self.interval == (0.0, 1.0):
            return denoise
        return guidance.interval(denoise, model.denoiser(variables, *label), *self.interval)


@dataclass(frozen=True)
class ClassifierFree(Guide):
    """Away from what the network says without a label (`guidance.classifier_free`)."""

    weight: float = 2.0
    interval: tuple[float, float] = (0.0, 1.0)

    def check(self, model: 'DiffusionModel') -> None:
        """Raises a UserError for a model without classes, or one that drops no labels."""
        super().check(model)
        _check_classes(self, model)
        model.check_learns_no_label('ClassifierFree')

    def denoiser(self, model: 'DiffusionModel', variables: Variables, *label: Array) -> Denoiser:
        """The guided denoiser, at all times."""

        def denoise(x: Array, t: Array, label: Array) -> guidance.Prediction:
            return model.denoise(variables, x, t, label)

        return guidance.classifier_free(denoise, *label, model.num_classes, self.weight)


@dataclass(frozen=True)
class Autoguidance(Guide):
    """Away from what a worse network says, which is trained beside the model on the same loss
    (`guidance.autoguidance`). Group and phase: 'weak'.

    Attributes:
        network: like that of the model, but smaller.
    """

    network: nn.Module
    weight: float = 2.0
    interval: tuple[float, float] = (0.0, 1.0)

    TRAINED: ClassVar[tuple[str, ...]] = ('network',)

    def check(self, model: 'DiffusionModel') -> None:
        """Raises a UserError for a network of another shape, or one without classes."""
        super().check(model)
        if flax_utils.event_shape(self.network, 'network') != model.event_shape:
            raise UserError(f'Autoguidance.network.shape must be {model.event_shape}')
        if model.num_classes is not None and not hasattr(self.network, 'num_classes'):
            raise UserError(
                f'Autoguidance: the network {type(self.network).__name__} has no field num_classes'
            )

    def networks(self, model: 'DiffusionModel') -> dict[str, nn.Module]:
        """The worse network."""
        return {'weak': model.with_classes(self.network)}

    def phases(self, model: 'DiffusionModel') -> tuple[Phase, ...]:
        """Its turn."""

        def loss(variables: Variables, batch: Batch, key: Array) -> LossOutput:
            return model.denoising_loss(variables, batch, key, group='weak')

        return (Phase('weak', ('weak',), loss),)

    def denoiser(self, model: 'DiffusionModel', variables: Variables, *label: Array) -> Denoiser:
        """The guided denoiser, at all times."""
        strong = model.denoiser(variables, *label)
        weak = model.denoiser(variables, *label, group='weak')
        return guidance.autoguidance(strong, weak, self.weight)


@dataclass(frozen=True)
class Classifier(Guide):
    """Towards the label, by a classifier of noisy data that is trained beside the model
    (`guidance.classifier`). Group and phase: 'classifier'. Metric: 'accuracy'.

    Attributes:
        network: `(x_t [B, *event], time [B]) -> logits [B, num_classes]`, such as `TimeMLP`.
    """

    network: nn.Module
    weight: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    TRAINED: ClassVar[tuple[str, ...]] = ('network',)

    def check(self, model: 'DiffusionModel') -> None:
        """Raises a UserError for a model without classes, or with more or fewer than logits."""
        super().check(model)
        _check_classes(self, model)
        shape = getattr(self.network, 'shape', None)
        if shape is not None and tuple(shape) != (model.num_classes,):
            raise UserError(
                f'Classifier.network gives logits of shape {tuple(shape)}, and'
                f' DiffusionModel.num_classes={model.num_classes}: set its shape to that'
            )

    def networks(self, model: 'DiffusionModel') -> dict[str, nn.Module]:
        """The classifier."""
        return {'classifier': model.with_times(self.network)}

    def phases(self, model: 'DiffusionModel') -> tuple[Phase, ...]:
        """Its turn: cross-entropy in nats on noisy data."""

        def loss(variables: Variables, batch: Batch, key: Array) -> LossOutput:
            diffuse_key, key = jax.random.split(key)
            (label,) = labels.of_batch(model, batch)
            x = batch['x'].astype(jnp.float32)
            x, t, _ = model.diffuse(diffuse_key, x, batch.get('mask'), label)
            logits, state = self._logits(model, variables, x, t, train=True, key=key)
            values = -jnp.take_along_axis(logits, label[:, None], axis=-1)[:, 0]
            return LossOutput(values, {'accuracy': jnp.argmax(logits, axis=-1) == label}, state)

        return (Phase('classifier', ('classifier',), loss),)

    def denoiser(self, model: 'DiffusionModel', variables: Variables, *label: Array) -> Denoiser:
        """The guided denoiser, at all times."""

        def log_prob(x: Array, t: Array) -> Array:
            t = jnp.broadcast_to(t, (len(x), *(1,) * (x.ndim - 1)))
            logits, _ = self._logits(model, variables, x, t)
            return jnp.take_along_axis(logits, label[0][:, None], axis=-1)[:, 0]

        denoise = model.denoiser(variables, *label)
        return guidance.classifier(denoise, model.path, log_prob, self.weight)

    def _logits(self, model: 'DiffusionModel', variables: Variables, x: Array, t: Array, **options):
        parameterisation = model.parameterisation
        time = parameterisation.network_time(model.path, t).reshape(len(x))
        x = x * parameterisation.input_scale(model.path, t)
        network = self.networks(model)['classifier']
        logits, state = flax_utils.apply(network, variables, 'classifier', x, time, **options)
        return jax.nn.log_softmax(logits.astype(jnp.float32)), state


def _check_classes(guide: Guide, model: 'DiffusionModel') -> None:
    if model.num_classes is None:
        raise UserError(f'{type(guide).__name__} needs DiffusionModel.num_classes')
