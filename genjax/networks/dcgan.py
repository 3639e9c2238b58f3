"""Generator and discriminator after DCGAN (Radford et al., 2016), for square images."""

import math
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.image_levels import check_square
from genjax.networks.layers import (
    BatchNorm,
    Dropout,
    GroupNorm,
    activation_function,
    halvings,
    upsample,
)

_NORMAL = nn.initializers.normal(0.02)


def _levels(side: int) -> int:
    """Number of halvings until the side of an image is at most 4."""
    times = 0
    while halvings(side, times)[-1] > 4:
        times += 1
    return times


class DCGANGenerator(Conditional):
    """Codes to square images: upsamples a 3x3 or 4x4 map to the size of `shape`.

    Upsampling is repetition and a convolution instead of the paper's transposed convolutions: it
    fits odd sizes and avoids checkerboard artefacts. A condition is appended to the code.

    Attributes:
        shape: (side, side, channels) of an image.
        features: channels before the last convolution; each coarser level has twice as many.
        norm: 'group' (per example), 'batch' (as in the paper; couples the examples of a batch in
            training and uses running averages in sampling), or 'none'.
        activation: a name in `jax.nn` or a function, of the hidden layers.
        output: activation of the last layer; 'tanh' for data in [-1, 1].
        dtype: computation dtype; parameters, norms and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 64
    norm: Literal['group', 'batch', 'none'] = 'group'
    activation: str | Callable = 'relu'
    output: str | Callable = 'tanh'
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps z [B, D] to images [B, *shape], float32.

        Raises:
            UserError: `shape` is not that of a square image of at least 8x8.
        """
        check_square('DCGANGenerator', self.shape)
        act = activation_function(self.activation)
        times = _levels(self.shape[0])
        sides = halvings(self.shape[0], times)[::-1]
        z = z.reshape(z.shape[0], -1).astype(self.dtype)
        if (vector := self.condition_vector(condition)) is not None:
            z = jnp.concatenate([z, vector.astype(self.dtype)], axis=-1)
        start = (sides[0], sides[0], self.features * 2**times)
        x = nn.Dense(math.prod(start), dtype=self.dtype)(z).reshape(-1, *start)
        x = act(self._normalise(x, train))
        for level, side in enumerate(sides[1:], start=1):
            x = upsample(x, side, side)
            x = nn.Conv(self.features * 2 ** (times - level), (3, 3), dtype=self.dtype)(x)
            x = act(self._normalise(x, train))
        x = nn.Conv(self.shape[-1], (3, 3), dtype='float32', name='output')(x.astype(jnp.float32))
        return activation_function(self.output)(x)

    def _normalise(self, x: Array, train: bool) -> Array:
        if self.norm == 'group':
            return GroupNorm(self.dtype)(x)
        if self.norm == 'batch':
            return BatchNorm(use_running_average=not train)(x).astype(self.dtype)
        return x


class DCGANDiscriminator(Conditional):
    """Square images to one or more logits each: strided convolutions to a side of 3 or 4.

    Without normalisation across examples or units, so that gradient penalties are per example. A
    condition adds the projection of the features onto its embedding (Miyato & Koyama, 2018).

    Attributes:
        features: channels of the first level; each coarser one has twice as many.
        shape: the shape of one output; (1 + K,) for a logit and K class logits.
        spectral_norm: divides every weight matrix by its largest singular value (Miyato et al.,
            2018), estimated by one power iteration per training call, with its vectors in the state
            collection 'batch_stats'.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate after each level.
        dtype: computation dtype; parameters and logits are float32.
    """

    features: int = 64
    shape: tuple[int, ...] = ()
    spectral_norm: bool = False
    activation: str | Callable = 'leaky_relu'
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps images x [B, side, side, C] to logits [B, *shape], float32.

        Raises:
            UserError: x are not square images of at least 8x8.
        """
        check_square('DCGANDiscriminator', x.shape[1:])
        act = activation_function(self.activation)

        def layer(module: nn.Module, x: Array) -> Array:
            if self.spectral_norm:
                return nn.SpectralNorm(module)(x, update_stats=train)
            return module(x)

        x = act(layer(nn.Conv(self.features, (3, 3), dtype=self.dtype), x.astype(self.dtype)))
        for level in range(1, _levels(x.shape[1]) + 1):
            x = layer(nn.Conv(self.features * 2**level, (4, 4), strides=2, dtype=self.dtype), x)
            x = Dropout(self.dropout, deterministic=not train)(act(x))
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        self.sow('intermediates', 'features', x)
        logits = layer(nn.Dense(math.prod(self.shape), dtype='float32'), x)
        if (vector := self.condition_vector(condition)) is not None:
            embedding = layer(
                nn.Dense(x.shape[-1], use_bias=False, dtype='float32', kernel_init=_NORMAL), vector
            )
            logits = logits + jnp.sum(embedding * x, axis=-1, keepdims=True)
        return logits.reshape(len(x), *self.shape)
