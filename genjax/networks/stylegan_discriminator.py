"""The discriminator of StyleGAN2 (Karras et al., 2020)."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.conditional import Conditional
from genjax.networks.filters import downsample_filtered
from genjax.networks.image_levels import check_square, coarsest, widths
from genjax.networks.stylegan import EqualConv, EqualDense, pixel_norm, scaled_leaky_relu


class StyleGANDiscriminator(Conditional):
    """Square images to one logit each: residual blocks that halve the image. With a condition, the
    logit is the projection of the features onto its embedding (Miyato & Koyama, 2018).

    Attributes:
        features: channels at the finest level; each coarser level has twice as many.
        max_features: maximum number of channels.
        stddev_group: examples per group of the minibatch standard deviation, appended as a channel
            (Karras et al., 2018); a logit then depends on the other examples of its group. 0: off.
        dtype: computation dtype; parameters, the coarsest level and the logit are float32.
    """

    features: int = 64
    max_features: int = 512
    stddev_group: int = 4
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        """Maps images x [B, side, side, C] to logits [B], float32.

        Raises:
            UserError: x are not square images of a side that is 4, 5, 6 or 7 times a power of
                two, or the groups do not divide the batch.
        """
        check_square('StyleGANDiscriminator', x.shape[1:])
        _, halvings = coarsest(x.shape[1])
        first, *others = widths(self.features, self.max_features, halvings)
        x = _Layer(first, 1, self.dtype)(x)
        for width in others:
            x = _ResidualBlock(width, self.dtype)(x)
        x = x.astype(jnp.float32)
        if self.stddev_group:
            x = jnp.concatenate([x, group_stddev(x, self.stddev_group)], axis=-1)
        x = _Layer(width)(x).reshape(x.shape[0], -1)
        x = scaled_leaky_relu(EqualDense(width)(x))
        self.sow('intermediates', 'features', x)
        if (vector := self.condition_vector(condition)) is None:
            return EqualDense(1)(x)[:, 0]
        embedding = pixel_norm(EqualDense(width, name='label')(vector))
        return jnp.sum(EqualDense(width)(x) * embedding, axis=-1) / math.sqrt(width)


class _Layer(nn.Module):
    """Convolution, bias and activation; with `halve`, downsamples through the filter."""

    features: int
    size: int = 3
    dtype: str = 'float32'
    halve: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = EqualConv(self.features, self.size, self.halve, self.dtype)(x)
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        return scaled_leaky_relu(x + bias.astype(x.dtype))


class _ResidualBlock(nn.Module):
    """Two layers and a linear shortcut; their sum is scaled by 1/√2 to keep the variance."""

    features: int
    dtype: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        h = _Layer(x.shape[-1], dtype=self.dtype)(x)
        h = _Layer(self.features, dtype=self.dtype, halve=True)(h)
        x = EqualConv(self.features, 1, dtype=self.dtype, name='shortcut')(downsample_filtered(x))
        return (x + h) / math.sqrt(2)


def group_stddev(x: Array, group: int) -> Array:
    """Computes the minibatch standard deviation: that of each feature over the group, averaged over
    the features.

    Args:
        x: [B, H, W, C].
        group: examples per group; a smaller batch is one group. Every (B / group)-th example
            belongs to the same group.

    Returns:
        [B, H, W, 1].

    Raises:
        UserError: `group` does not divide the batch.
    """
    group = min(group, x.shape[0])
    if x.shape[0] % group:
        raise UserError(f'stddev_group={group} does not divide the batch of {x.shape[0]} examples')
    deviation = x.reshape(group, -1, *x.shape[1:])
    deviation = deviation - jnp.mean(deviation, axis=0)
    deviation = jnp.sqrt(jnp.mean(deviation**2, axis=0) + 1e-8)
    measure = jnp.tile(jnp.mean(deviation, axis=(1, 2, 3)), group)
    return jnp.broadcast_to(measure[:, None, None, None], (*x.shape[:3], 1))
