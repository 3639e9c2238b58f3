"""PixelCNN: an autoregressive model of images, pixel by pixel."""

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.autoregressive.mixtures import Categorical
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.conditional import ConditionalModel, GuidedSampling
from genjax.models.precision import full_precision


class PixelLikelihood(Protocol):
    """Interface of the distribution of a pixel given the network's outputs."""

    def outputs(self, channels: int) -> int:
        """Number of parameters per pixel."""

    def centre(self, x: Array) -> Array:
        """Scales data for the network, to about [-1, 1]."""

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-probability of each pixel, [B, H, W], of x [B, H, W, C]."""

    def sample(self, params: Array, key: Array, channels: int) -> Array:
        """Draws x [..., C]."""


@dataclass(frozen=True)
class PixelCNN(ConditionalModel):
    """An autoregressive model of images in raster order (van den Oord et al., 2016).

    The parameter group is 'network'; the loss is in nats per image.

    Attributes:
        network: centred images [B, H, W, C] to [B, H, W, outputs]; a pixel's outputs depend on the
            rows above and the pixels to its left only, as in `GatedPixelCNN`,
            `PixelCNNPlusPlus` and `CausalWindow`. Its field `shape` is the shape of an image;
            it is cloned with the number of outputs in place of the channels.
        likelihood: distribution of a pixel: `Categorical` (2 levels: Bernoulli) or
            `LogisticMixture`.
        sampling: sampling options; guidance goes with the likelihood `Categorical`.
    """

    network: nn.Module
    likelihood: PixelLikelihood = field(default_factory=Categorical)
    sampling: GuidedSampling = field(default_factory=GuidedSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    def __post_init__(self):
        super().__post_init__()
        if self._passes == 2 and not isinstance(self.likelihood, Categorical):
            raise UserError(
                'guidance extrapolates logits: it goes with the likelihood Categorical of a'
                f' PixelCNN, not {type(self.likelihood).__name__}'
            )
        if len(flax_utils.event_shape(self.network, 'network')) != 3:
            raise UserError('the network of a PixelCNN needs shape=(height, width, channels)')

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return flax_utils.event_shape(self.network, 'network')

    @property
    def data_values(self) -> Values | None:
        """The range of data that the likelihood supports."""
        return getattr(self.likelihood, 'data_values', None)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network',), self._loss),)

    @property
    def _network(self) -> nn.Module:
        height, width, channels = self.event_shape
        return super()._network.clone(shape=(height, width, self.likelihood.outputs(channels)))

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        args = (self.likelihood.centre(batch['x']), conditions.of_batch(self, batch))
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
        """Computes the exact log-probability [B] of images x given a label or context; `key` is not
        used. Without a label, that of p(x): of the null condition if `condition_dropout` is not 0,
        otherwise of the mixture over uniformly drawn labels.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        del key

        def log_prob(condition: Array | None) -> Array:
            params, _ = self._params(variables, condition, x)
            return jnp.sum(self.likelihood.log_prob(params, x), axis=(1, 2))[:, None]

        return LogProb(self._exact_log_probs(log_prob, len(x), label, context)[:, 0], 'exact')

    def features(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the input of the network's last layer, a mean over the pixels: [B, D]. Without a
        label or context, that for the null condition.

        Raises:
            UserError: a label or context that the model does not take; or neither, and the model
                was trained without condition dropout.
        """
        condition = self._given_or_null('features', len(x), label, context)
        args = (self.likelihood.centre(x), condition)
        return flax_utils.pooled(flax_utils.hidden(self._network, variables, 'network', *args)[1])

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws images [num, H, W, C] as float32, pixel by pixel under one `lax.scan`. Missing
        labels are drawn uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        condition = self._sampling_condition(key, num, label, context)
        network = self._guided(functools.partial(self._params, variables), condition)
        height, width, channels = self.event_shape

        def draw(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            place, key = inputs
            row, column = place // width, place % width
            params, _ = network(x)
            params = jax.lax.dynamic_slice(
                params, (0, row, column, 0), (num, 1, 1, params.shape[-1])
            )
            pixel = self.likelihood.sample(params, key, channels)
            return jax.lax.dynamic_update_slice(x, pixel, (0, row, column, 0)), None

        places = jnp.arange(height * width)
        inputs = (places, jax.random.split(key, len(places)))
        return jax.lax.scan(draw, jnp.zeros((num, *self.event_shape)), inputs)[0]

    def _params(
        self, variables: Variables, condition: Array | None, x: Array, **options: Any
    ) -> tuple[Array, Any]:
        """Computes the parameters of each pixel, and the new state."""
        args = (self.likelihood.centre(x), condition)
        return flax_utils.apply(self._network, variables, 'network', *args, **options)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        x, condition = batch['x'], self._training_condition(batch, key)
        params, state = self._params(variables, condition, x, train=True, key=key)
        pixels = self.likelihood.log_prob(params, x)
        return LossOutput(-jnp.sum(pixels, axis=(1, 2)), {}, state)
