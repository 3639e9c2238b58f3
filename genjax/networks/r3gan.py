"""The networks of R3GAN (Huang et al., 2024, "The GAN is dead; long live the GAN!"): residual
bottlenecks with grouped convolutions and Fixup initialisation instead of normalisation.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.filters import downsample_filtered, upsample_filtered
from genjax.networks.image_levels import check_square, coarsest, widths


class _Block(nn.Module):
    """An inverted residual bottleneck: 1x1, grouped 3x3, 1x1 (Xie et al., 2017).

    Fixup initialisation (Zhang et al., 2019): the last convolution is zero-initialised, the others
    are scaled by num_blocks^(-1/4), num_blocks those of the whole network.
    """

    num_blocks: int
    group_size: int
    dtype: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = 2 * x.shape[-1]
        # Variance 2 / fan in, times the square of the Fixup scale.
        init = nn.initializers.variance_scaling(2 / math.sqrt(self.num_blocks), 'fan_in', 'normal')
        groups = max(1, width // self.group_size)
        h = nn.Conv(width, (1, 1), kernel_init=init, dtype=self.dtype)(x)
        h = jax.nn.leaky_relu(h, 0.2)
        h = nn.Conv(width, (3, 3), feature_group_count=groups, kernel_init=init, dtype=self.dtype)(
            h
        )
        zeros = nn.initializers.zeros
        h = nn.Conv(x.shape[-1], (1, 1), use_bias=False, kernel_init=zeros, dtype=self.dtype)(
            jax.nn.leaky_relu(h, 0.2)
        )
        return x + h


def _change_width(x: Array, width: int, dtype: str) -> Array:
    if x.shape[-1] == width:
        return x
    return nn.Conv(width, (1, 1), use_bias=False, dtype=dtype)(x)


class R3GANGenerator(Conditional):
    """Codes to square images: a learned map of 4 to 7 pixels' side, its channels scaled by the
    code, then residual blocks and upsampling. The embedding of a condition is appended to the code.

    Attributes:
        shape: (side, side, channels) of an image; the side is 4, 5, 6 or 7 times a power of two.
        features: channels at the finest level; each coarser level has twice as many.
        max_features: maximum number of channels.
        blocks: residual blocks per level.
        group_size: channels per group of the 3x3 convolutions, which have twice the level's
            channels in total.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 64
    max_features: int = 768
    blocks: int = 2
    group_size: int = 16
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None) -> Array:
        """Maps z [B, D] to images [B, *shape], float32.

        Raises:
            UserError: `shape` is not that of a square image of such a side.
        """
        check_square('R3GANGenerator', self.shape)
        side, doublings = coarsest(self.shape[0])
        channels = widths(self.features, self.max_features, doublings)[::-1]
        z = z.reshape(z.shape[0], -1).astype(self.dtype)
        if (vector := self.condition_vector(condition)) is not None:
            embed = nn.Dense(z.shape[-1], use_bias=False, dtype=self.dtype, name='label')
            z = jnp.concatenate([z, embed(vector) * math.sqrt(self.condition_features)], axis=-1)
        start = self.param('start', nn.initializers.normal(1.0), (side, side, channels[0]))
        weights = nn.Dense(channels[0], use_bias=False, dtype=self.dtype)(z)
        x = start.astype(self.dtype) * weights[:, None, None]
        for level, width in enumerate(channels):
            if level > 0:
                x = upsample_filtered(_change_width(x, width, self.dtype))
            for _ in range(self.blocks):
                x = _Block(self.blocks * len(channels), self.group_size, self.dtype)(x)
        out = nn.Conv(self.shape[-1], (1, 1), use_bias=False, dtype='float32', name='output')
        return out(x.astype(jnp.float32))


class R3GANDiscriminator(Conditional):
    """Square images to one logit each: residual blocks and downsampling to a side of 4 to 7, then a
    learned weighted sum over the pixels of each channel. With a condition, the logit is the
    projection of the features onto its embedding (Miyato & Koyama, 2018).

    Attributes:
        features: channels at the finest level; each coarser level has twice as many.
        max_features: maximum number of channels.
        blocks: residual blocks per level.
        group_size: channels per group of the 3x3 convolutions.
        dtype: computation dtype; parameters and the logit are float32.
    """

    features: int = 64
    max_features: int = 768
    blocks: int = 2
    group_size: int = 16
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        """Maps images x [B, side, side, C] to logits [B], float32.

        Raises:
            UserError: x are not square images of a side that is 4, 5, 6 or 7 times a power of
                two.
        """
        check_square('R3GANDiscriminator', x.shape[1:])
        side, halvings = coarsest(x.shape[1])
        channels = widths(self.features, self.max_features, halvings)
        for level, width in enumerate(channels):
            x = downsample_filtered(x) if level > 0 else x.astype(self.dtype)
            x = _change_width(x, width, self.dtype)
            for _ in range(self.blocks):
                x = _Block(self.blocks * len(channels), self.group_size, self.dtype)(x)
        x = x.astype(jnp.float32)
        weights = self.param('end', nn.initializers.normal(1 / side), (side, side, x.shape[-1]))
        x = jnp.sum(x * weights, axis=(1, 2))
        self.sow('intermediates', 'features', x)
        if (vector := self.condition_vector(condition)) is None:
            return nn.Dense(1, use_bias=False)(x)[:, 0]
        embedding = nn.Dense(x.shape[-1], use_bias=False, name='label')(vector)
        embedding = embedding * math.sqrt(self.condition_features / x.shape[-1])
        return jnp.sum(x * embedding, axis=-1)
