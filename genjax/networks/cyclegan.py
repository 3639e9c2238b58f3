"""Image translation network and patch discriminator of CycleGAN."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.layers import InstanceNorm, activation_function, halvings, upsample


class Translator(nn.Module):
    """Images to images of the same size (Johnson et al., 2016; Zhu et al., CycleGAN, 2017).

    A wide convolution, downsampling, residual blocks, upsampling and a wide convolution; instance
    normalisation and ReLU after every layer but the last. Unlike the paper, upsampling is
    repetition and a convolution instead of a transposed convolution, and padding is by zeros
    instead of reflection.

    Attributes:
        shape: (height, width, channels) of the input and output image.
        features: channels at full resolution, doubled at each halving.
        num_halvings: number of downsampling layers (the paper: 2).
        num_blocks: residual blocks at the smallest size (the paper: 6 or 9).
        kernel: kernel size of the first and the last convolution.
        output: activation of the last layer; 'tanh' for data in [-1, 1].
        dtype: computation dtype; parameters, norms and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 64
    num_halvings: int = 2
    num_blocks: int = 6
    kernel: int = 7
    output: str = 'tanh'
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, *shape] to [B, *shape], float32.

        Raises:
            UserError: the images do not have the shape `shape`.
        """
        if x.shape[1:] != tuple(self.shape):
            raise UserError(f'Translator.shape={self.shape}, but pictures are of {x.shape[1:]}')
        x = x.astype(self.dtype)
        x = self._layer(x, self.features, self.kernel)
        for level in range(1, self.num_halvings + 1):
            x = self._layer(x, self.features * 2**level, 3, strides=2)
        for _ in range(self.num_blocks):
            h = self._layer(x, x.shape[-1], 3)
            x = x + self._layer(h, x.shape[-1], 3, activated=False)
        heights, widths = (halvings(side, self.num_halvings) for side in self.shape[:2])
        for level in range(self.num_halvings - 1, -1, -1):
            x = upsample(x, heights[level], widths[level])
            x = self._layer(x, self.features * 2**level, 3)
        kernel = (self.kernel, self.kernel)
        x = nn.Conv(self.shape[-1], kernel, dtype='float32', name='output')(x.astype(jnp.float32))
        return activation_function(self.output)(x)

    def _layer(
        self, x: Array, features: int, kernel: int, strides: int = 1, activated: bool = True
    ) -> Array:
        # No bias: the norm would remove it.
        x = nn.Conv(features, (kernel, kernel), strides, use_bias=False, dtype=self.dtype)(x)
        x = InstanceNorm()(x).astype(self.dtype)
        return nn.relu(x) if activated else x


class PatchDiscriminator(nn.Module):
    """Images to one logit per overlapping patch (PatchGAN; Isola et al., 2017).

    4x4 convolutions with leaky ReLU, of stride 2 except the last two, with instance normalisation
    except after the first.

    Attributes:
        features: channels of the convolutions before the last one, which outputs the logits. The
            paper's (64, 128, 256, 512) have a receptive field of 70x70.
        dtype: computation dtype; parameters, norms and the logits are float32.
    """

    features: tuple[int, ...] = (64, 128, 256, 512)
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps images x [B, H, W, C] to logits [B, patches], float32."""
        x = x.astype(self.dtype)
        for number, width in enumerate(self.features, start=1):
            strides = 2 if number < len(self.features) else 1
            x = nn.Conv(width, (4, 4), strides, use_bias=number == 1, dtype=self.dtype)(x)
            if number > 1:
                x = InstanceNorm()(x).astype(self.dtype)
            x = activation_function('leaky_relu')(x)
        self.sow('intermediates', 'features', x)
        x = nn.Conv(1, (4, 4), dtype='float32')(x.astype(jnp.float32))
        return x.reshape(x.shape[0], -1)
