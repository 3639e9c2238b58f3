"""PixelCNN: an autoregressive model of images, pixel by pixel."""

from dataclasses import dataclass, field
from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.autoregressive.mixtures import Categorical
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
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
class PixelCNN:
    """An autoregressive model of images in raster order (van den Oord et al., 2016).

    The parameter group is 'network'; the loss is in nats per image.

    Attributes:
        network: centred images [B, H, W, C] to [B, H, W, outputs]; a pixel's outputs depend on the
            rows above and the pixels to its left only, as in `GatedPixelCNN` and
            `PixelCNNPlusPlus`. Its field `shape` is the shape of an image; it is cloned with the
            number of outputs in place of the channels.
        likelihood: distribution of a pixel: `Categorical` (2 levels: Bernoulli) or
            `LogisticMixture`.
    """

    network: nn.Module
    likelihood: PixelLikelihood = field(default_factory=Categorical)

    def __post_init__(self):
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
        return self.network.clone(shape=(height, width, self.likelihood.outputs(channels)))

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        x = self.likelihood.centre(batch['x'])
        return flax_utils.initialise(key, {'network': (self._network, (x,))})

    @full_precision
    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes the exact log-probability [B] of images x; `key` is not used."""
        del key
        pixels = self.likelihood.log_prob(self._params(variables, x), x)
        return LogProb(jnp.sum(pixels, axis=(1, 2)), 'exact')

    def features(self, variables: Variables, x: Array) -> Array:
        """Computes the input of the network's last layer, a mean over the pixels: [B, D]."""
        x = self.likelihood.centre(x)
        return flax_utils.pooled(flax_utils.hidden(self._network, variables, 'network', x)[1])

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws images [num, H, W, C] as float32, pixel by pixel under one `lax.scan`. Raises a
        UserError when given a condition.
        """
        conditions.refuse(self, label, context)
        height, width, channels = self.event_shape

        def draw(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            place, key = inputs
            row, column = place // width, place % width
            params = self._params(variables, x)
            params = jax.lax.dynamic_slice(
                params, (0, row, column, 0), (num, 1, 1, params.shape[-1])
            )
            pixel = self.likelihood.sample(params, key, channels)
            return jax.lax.dynamic_update_slice(x, pixel, (0, row, column, 0)), None

        places = jnp.arange(height * width)
        inputs = (places, jax.random.split(key, len(places)))
        return jax.lax.scan(draw, jnp.zeros((num, *self.event_shape)), inputs)[0]

    def _params(self, variables: Variables, x: Array) -> Array:
        return flax_utils.apply(self._network, variables, 'network', self.likelihood.centre(x))[0]

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        x = batch['x']
        params, state = flax_utils.apply(
            self._network, variables, 'network', self.likelihood.centre(x), train=True, key=key
        )
        pixels = self.likelihood.log_prob(params, x)
        return LossOutput(-jnp.sum(pixels, axis=(1, 2)), {}, state)
