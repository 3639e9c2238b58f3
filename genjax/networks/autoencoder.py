"""Residual encoder and decoder between images and feature maps."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.layers import (
    GroupNorm,
    ResidualBlock,
    activation_function,
    check_picture,
    halvings,
    upsample,
)
from genjax.networks.unet import PixelAttention


class MapEncoder(nn.Module):
    """Images to feature maps: levels of residual blocks, each at half the previous resolution
    (Rombach et al., "High-resolution image synthesis with latent diffusion models", 2022, where the
    f of "f=8" is 2^(levels - 1)).

    Attributes:
        features: channels of each level, the finest first.
        num_blocks: residual blocks per level; one more at the coarsest.
        attention: self-attention at the coarsest level, between its last two blocks.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate inside each block.
        dtype: computation dtype; parameters and norms are float32.
    """

    features: tuple[int, ...] = (64, 128)
    num_blocks: int = 2
    attention: bool = False
    activation: str | Callable = 'silu'
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Maps x [B, H, W, C] to [B, h, w, features[-1]], h = ceil(H / 2^(levels - 1)).

        Raises:
            UserError: x are not images of at least 8x8.
        """
        check_picture('MapEncoder', x.shape[1:])
        x = nn.Conv(self.features[0], (3, 3), dtype=self.dtype)(x.astype(self.dtype))
        for level, width in enumerate(self.features):
            if level:
                x = nn.Conv(width, (3, 3), strides=2, dtype=self.dtype)(x)
            for _ in range(self.num_blocks):
                x = self._block(width)(x, train=train)
        if self.attention:
            x = PixelAttention(x.shape[-1], dtype=self.dtype)(x)
        x = self._block(self.features[-1])(x, train=train)
        return activation_function(self.activation)(GroupNorm(self.dtype)(x))

    def _block(self, width: int) -> ResidualBlock:
        return ResidualBlock(width, self.activation, self.dropout, self.dtype)


class MapDecoder(nn.Module):
    """Maps to images: the mirror image of `MapEncoder`.

    Attributes:
        shape: (height, width, channels) of an image; odd sides are fine.
        features: channels of each level, the coarsest first.
        num_blocks: residual blocks per level; one more at the coarsest.
        attention: self-attention at the coarsest level, between its first two blocks.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate inside each block.
        dtype: computation dtype; parameters, norms and the output are float32.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (128, 64)
    num_blocks: int = 2
    attention: bool = False
    activation: str | Callable = 'silu'
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, z: Array, train: bool = False) -> Array:
        """Maps z [B, h, w, D] to [B, *shape], float32.

        Raises:
            UserError: `shape` is not that of an image of at least 8x8, or the size of z is not that
                of the coarsest level.
        """
        check_picture('MapDecoder', self.shape)
        heights, widths = (halvings(side, len(self.features) - 1)[::-1] for side in self.shape[:2])
        if z.shape[1:3] != (heights[0], widths[0]):
            raise UserError(
                f'MapDecoder: {len(self.features)} levels lead to shape={tuple(self.shape)} from '
                f'maps of {heights[0]}x{widths[0]}, not from codes of shape {z.shape[1:]}; '
                'encoder and decoder need as many levels'
            )
        x = nn.Conv(self.features[0], (3, 3), dtype=self.dtype)(z.astype(self.dtype))
        x = self._block(self.features[0])(x, train=train)
        if self.attention:
            x = PixelAttention(x.shape[-1], dtype=self.dtype)(x)
        for level, width in enumerate(self.features):
            if level:
                x = upsample(x, heights[level], widths[level])
                x = nn.Conv(width, (3, 3), dtype=self.dtype)(x)
            for _ in range(self.num_blocks):
                x = self._block(width)(x, train=train)
        x = activation_function(self.activation)(GroupNorm(self.dtype)(x)).astype(jnp.float32)
        return nn.Conv(self.shape[-1], (3, 3), dtype='float32', name='output')(x)

    def _block(self, width: int) -> ResidualBlock:
        return ResidualBlock(width, self.activation, self.dropout, self.dtype)
