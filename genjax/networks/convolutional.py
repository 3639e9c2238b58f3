"""Residual encoder and decoder for images."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.layers import (
    GroupNorm,
    ResidualBlock,
    activation_function,
    check_picture,
    halvings,
    upsample,
)


class ConvEncoder(nn.Module):
    """Images to features: levels of residual blocks, each at half the previous resolution.

    Attributes:
        features: channels of each level.
        num_blocks: residual blocks per level.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate inside each block.
        dtype: computation dtype; parameters and norms are float32.
    """

    features: tuple[int, ...] = (32, 64)
    num_blocks: int = 1
    activation: str | Callable = 'silu'
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Maps x [B, H, W, C] to features [B, h * w * features[-1]], h = ceil(H / 2^(levels - 1)).

        Raises:
            UserError: x are not images of at least 8x8.
        """
        check_picture('ConvEncoder', x.shape[1:])
        x = nn.Conv(self.features[0], (3, 3), dtype=self.dtype)(x)
        for level, width in enumerate(self.features):
            if level:
                x = nn.Conv(width, (3, 3), strides=2, dtype=self.dtype)(x)
            for _ in range(self.num_blocks):
                x = ResidualBlock(width, self.activation, self.dropout, self.dtype)(x, train=train)
        x = activation_function(self.activation)(GroupNorm(self.dtype)(x))
        return x.reshape(x.shape[0], -1)


class ConvDecoder(nn.Module):
    """Vectors to images of any size: the mirror image of `ConvEncoder`.

    Attributes:
        shape: (height, width, channels) of an image; odd sides are fine.
        features: channels of each level, the coarsest first.
        num_blocks: residual blocks per level.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate inside each block.
        dtype: computation dtype; parameters, norms and the output are float32.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (64, 32)
    num_blocks: int = 1
    activation: str | Callable = 'silu'
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, z: Array, train: bool = False) -> Array:
        """Maps z [B, ...] to [B, *shape], float32.

        Raises:
            UserError: `shape` is not that of an image of at least 8x8.
        """
        check_picture('ConvDecoder', self.shape)
        heights, widths = (halvings(side, len(self.features) - 1)[::-1] for side in self.shape[:2])
        x = z.reshape(z.shape[0], -1).astype(self.dtype)
        x = nn.Dense(math.prod((heights[0], widths[0], self.features[0])), dtype=self.dtype)(x)
        x = x.reshape(x.shape[0], heights[0], widths[0], self.features[0])
        for level, features in enumerate(self.features):
            if level:
                x = upsample(x, heights[level], widths[level])
                x = nn.Conv(features, (3, 3), dtype=self.dtype)(x)
            for _ in range(self.num_blocks):
                x = ResidualBlock(features, self.activation, self.dropout, self.dtype)(
                    x, train=train
                )
        x = activation_function(self.activation)(GroupNorm(self.dtype)(x))
        return nn.Conv(self.shape[-1], (3, 3), dtype='float32', name='output')(
            x.astype(jnp.float32)
        )


class ConvNet(nn.Module):
    """Convolutions with activations: features of every pixel or, with `pool`, of larger patches.

    Attributes:
        features: channels of each layer.
        kernel: kernel size.
        pool: side of the max pooling after each layer; 1: none.
        activation: a name in `jax.nn` or a function.
        dtype: computation dtype; parameters are float32.
    """

    features: tuple[int, ...] = (64, 64)
    kernel: int = 3
    pool: int = 1
    activation: str | Callable = 'relu'
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, H, W, C] to features [B, h, w, features[-1]], h = ceil(H / pool^layers)."""
        act = activation_function(self.activation)
        init = nn.initializers.variance_scaling(2.0, 'fan_in', 'truncated_normal')
        for width in self.features:
            layer = nn.Conv(width, (self.kernel,) * 2, kernel_init=init, dtype=self.dtype)
            x = act(layer(x.astype(self.dtype)))
            if self.pool > 1:
                x = nn.max_pool(x, (self.pool,) * 2, (self.pool,) * 2, 'SAME')
        return x
