"""Residual generator and discriminator of SNGAN (Miyato et al., 2018) and SAGAN (Zhang et al.,
2019), for square images.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.image_levels import check_square, coarsest, widths
from genjax.networks.layers import BatchNorm, GroupNorm, activation_function, upsample


class SelfAttention(nn.Module):
    """Self-attention over the pixels, added with a zero-initialised weight γ (Zhang et al., 2019).

    Keys, queries and values have an eighth of the channels.

    Attributes:
        spectral_norm: apply spectral normalisation to the four linear maps.
        dtype: computation dtype; softmax and parameters are float32.
    """

    spectral_norm: bool = False
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Maps [B, H, W, C] to the same shape."""
        batch, height, width, channels = x.shape

        def linear(features: int, name: str, x: Array) -> Array:
            module = nn.Dense(features, use_bias=False, dtype=self.dtype, name=name)
            return _normalised(module, self.spectral_norm, train)(x)

        pixels = x.reshape(batch, height * width, channels)
        inner = max(1, channels // 8)
        query, key, value = (linear(inner, name, pixels) for name in ('query', 'key', 'value'))
        scores = jnp.einsum('bqc,bkc->bqk', query, key, preferred_element_type=jnp.float32)
        attention = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        out = linear(channels, 'out', jnp.einsum('bqk,bkc->bqc', attention, value))
        gamma = self.param('gamma', nn.initializers.zeros, ())
        return x + gamma.astype(x.dtype) * out.reshape(x.shape)


class ResNetGenerator(Conditional):
    """Codes to square images: upsampling residual blocks from a map of 4 to 7 pixels' side.

    Attributes:
        shape: (side, side, channels) of an image; the side is 4, 5, 6 or 7 times a power of two.
        features: channels at the finest level; each coarser level has twice as many.
        max_features: maximum number of channels.
        norm: 'batch' (couples the examples of a batch in training, uses running averages in
            sampling) or 'group' (per example). Scale and shift depend on a condition.
        attention: side of the maps with self-attention; None: no attention.
        spectral_norm: divides every weight matrix by its largest singular value, as SAGAN does.
        activation: a name in `jax.nn` or a function, of the hidden layers.
        output: activation of the last layer; 'tanh' for data in [-1, 1].
        dtype: computation dtype; parameters, norms and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 64
    max_features: int = 1024
    norm: Literal['batch', 'group'] = 'batch'
    attention: int | None = None
    spectral_norm: bool = False
    activation: str | Callable = 'relu'
    output: str | Callable = 'tanh'
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps z [B, D] to images [B, *shape], float32.

        Raises:
            UserError: `shape` is not that of a square image of such a side.
        """
        check_square('ResNetGenerator', self.shape)
        act = activation_function(self.activation)
        side, doublings = coarsest(self.shape[0])
        first, *others = widths(self.features, self.max_features, doublings)[::-1]
        vector = self.condition_vector(condition)
        vector = None if vector is None else vector.astype(self.dtype)

        def layer(module: nn.Module, x: Array) -> Array:
            return _normalised(module, self.spectral_norm, train)(x)

        z = z.reshape(z.shape[0], -1).astype(self.dtype)
        x = layer(nn.Dense(side * side * first, dtype=self.dtype), z)
        x = x.reshape(-1, side, side, first)
        for width in others:
            h = upsample(act(ConditionalNorm(self.norm, self.dtype)(x, vector, train)), *_twice(x))
            h = layer(nn.Conv(width, (3, 3), dtype=self.dtype), h)
            h = act(ConditionalNorm(self.norm, self.dtype)(h, vector, train))
            h = layer(nn.Conv(width, (3, 3), dtype=self.dtype), h)
            x = layer(nn.Conv(width, (1, 1), dtype=self.dtype), upsample(x, *_twice(x))) + h
            if x.shape[1] == self.attention:
                x = SelfAttention(self.spectral_norm, self.dtype)(x, train)
        x = act(ConditionalNorm(self.norm, self.dtype)(x, None, train)).astype(jnp.float32)
        x = layer(nn.Conv(self.shape[-1], (3, 3), dtype='float32'), x)
        return activation_function(self.output)(x)


class ResNetDiscriminator(Conditional):
    """Square images to one logit each: downsampling residual blocks to a side of 4 to 7.

    Without normalisation across examples or units, so that gradient penalties are per example. A
    condition adds the projection of the features onto its embedding (Miyato & Koyama, 2018).

    Attributes:
        features: channels of the first block; each coarser one has twice as many.
        max_features: maximum number of channels.
        attention: side of the maps with self-attention; None: no attention.
        spectral_norm: divides every weight matrix by its largest singular value, estimated by one
            power iteration per training call, with its vectors in the state collection
            'batch_stats'.
        activation: a name in `jax.nn` or a function.
        dtype: computation dtype; parameters and the logit are float32.
    """

    features: int = 64
    max_features: int = 1024
    attention: int | None = None
    spectral_norm: bool = True
    activation: str | Callable = 'relu'
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps images x [B, side, side, C] to logits [B], float32.

        Raises:
            UserError: x are not square images of a side that is 4, 5, 6 or 7 times a power of
                two.
        """
        check_square('ResNetDiscriminator', x.shape[1:])
        act = activation_function(self.activation)
        _, halvings = coarsest(x.shape[1])
        channels = widths(self.features, self.max_features, halvings)

        def layer(module: nn.Module, x: Array) -> Array:
            return _normalised(module, self.spectral_norm, train)(x)

        x = x.astype(self.dtype)
        # The last block keeps the size.
        for level, width in enumerate([*channels[:halvings], channels[-1]]):
            h = x if level == 0 else act(x)
            h = act(layer(nn.Conv(width, (3, 3), dtype=self.dtype), h))
            h = layer(nn.Conv(width, (3, 3), dtype=self.dtype), h)
            if x.shape[-1] != width:
                x = layer(nn.Conv(width, (1, 1), dtype=self.dtype), x)
            x = x + h
            if level < halvings:
                x = nn.avg_pool(x, (2, 2), (2, 2))
            if x.shape[1] == self.attention and level < halvings:
                x = SelfAttention(self.spectral_norm, self.dtype)(x, train)
        x = jnp.sum(act(x).astype(jnp.float32), axis=(1, 2))
        self.sow('intermediates', 'features', x)
        logit = layer(nn.Dense(1, dtype='float32'), x)[:, 0]
        if (vector := self.condition_vector(condition)) is not None:
            embedding = layer(nn.Dense(x.shape[-1], use_bias=False, dtype='float32'), vector)
            logit = logit + jnp.sum(embedding * x, axis=-1)
        return logit


class ConditionalNorm(nn.Module):
    """Normalisation whose scale and shift depend on an optional condition (Dumoulin et al., 2017).

    Attributes:
        norm: 'batch' or 'group'.
        dtype: of the output; computed in float32.
    """

    norm: str
    dtype: str

    @nn.compact
    def __call__(self, x: Array, condition: Array | None, train: bool) -> Array:
        """Normalises x [B, H, W, C]; the condition is a vector [B, F] or None."""
        norm = BatchNorm(use_running_average=not train) if self.norm == 'batch' else GroupNorm()
        x = norm(x)
        if condition is not None:
            small = nn.initializers.normal(0.02)
            scale, shift = (
                nn.Dense(x.shape[-1], use_bias=False, kernel_init=small, name=name)(condition)
                for name in ('scale', 'shift')
            )
            x = x * (1 + scale[:, None, None]) + shift[:, None, None]
        return x.astype(self.dtype)


def _normalised(module: nn.Module, spectral_norm: bool, train: bool) -> Callable[[Array], Array]:
    """Returns the layer, with spectral normalisation of its weights if `spectral_norm`."""
    if not spectral_norm:
        return module
    return lambda x: nn.SpectralNorm(module)(x, update_stats=train)


def _twice(x: Array) -> tuple[int, int]:
    return 2 * x.shape[1], 2 * x.shape[2]
