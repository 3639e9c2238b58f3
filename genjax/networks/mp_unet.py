"""The magnitude-preserving U-Net of EDM2 (Karras et al., "Analyzing and improving the training
dynamics of diffusion models", 2024): activations, weights and updates keep their size.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.networks.attention import attend
from genjax.networks.conditional import Conditional
from genjax.networks.layers import Dropout, check_picture, halvings
from genjax.networks.unet import resize

_SILU = 0.596  # root mean square of silu of a standard normal
_BALANCE = 0.3  # of a block and its shortcut
_LARGEST = 256.0


def mp_silu(x: Array) -> Array:
    """SiLU that keeps the variance of a standard normal (eq. 81)."""
    return jax.nn.silu(x) / _SILU


def mp_sum(a: Array, b: Array, share: float) -> Array:
    """Weighted sum of two independent arrays, of their variance (eq. 88)."""
    return ((1.0 - share) * a + share * b) / math.hypot(1.0 - share, share)


def mp_concatenate(a: Array, b: Array) -> Array:
    """Concatenates channels so that both parts contribute equally to a product (eq. 103)."""
    scale = math.sqrt((a.shape[-1] + b.shape[-1]) / 2.0)
    parts = [x * (scale / math.sqrt(x.shape[-1])) for x in (a, b)]
    return jnp.concatenate(parts, axis=-1)


def unit_pixels(x: Array) -> Array:
    """Scales each vector of channels to a mean square of 1."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-8)


class MPLinear(nn.Module):
    """Dense layer or convolution whose kernel is scaled to norm 1 for each output (eq. 47).

    Attributes:
        features: number of outputs.
        kernel: sides of the kernel; (): a dense layer.
        dtype: computation dtype.
    """

    features: int
    kernel: tuple[int, ...] = ()
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, gain: Array | float = 1.0) -> Array:
        """Maps [..., C] to [..., features], times a gain."""
        shape = (*self.kernel, x.shape[-1], self.features)
        weight = self.param('kernel', nn.initializers.normal(1.0), shape)
        axes = tuple(range(weight.ndim - 1))
        weight = weight * jax.lax.rsqrt(jnp.sum(weight**2, axis=axes) + 1e-8) * gain
        x, weight = x.astype(self.dtype), weight.astype(self.dtype)
        if not self.kernel:
            return x @ weight
        layout = ('NHWC', 'HWIO', 'NHWC')
        return jax.lax.conv_general_dilated(x, weight, (1, 1), 'SAME', dimension_numbers=layout)


class MPBlock(nn.Module):
    """Residual block of the encoder, or of the decoder.

    Attributes:
        features: channels of the output.
        encoder: whether pixels are normalised first.
        size: height and width of the output; None: those of x.
        head_features: channels per head of cosine attention at the end; 0: no attention.
        dropout: dropout rate before the last convolution.
        dtype: computation dtype.
    """

    features: int
    encoder: bool
    size: tuple[int, int] | None = None
    head_features: int = 0
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, embedding: Array, train: bool = False) -> Array:
        """Maps x [B, H, W, C] and embedding [B, D] to [B, *size, features]."""

        def conv(x: Array, side: int, name: str, features: int = self.features) -> Array:
            return MPLinear(features, (side, side), self.dtype, name=name)(x)

        x = x if self.size is None else resize(x, self.size)
        if self.encoder:
            x = conv(x, 1, 'shortcut') if x.shape[-1] != self.features else x
            x = unit_pixels(x)
        h = conv(mp_silu(x), 3, 'conv_1')
        gain = self.param('embedding_gain', nn.initializers.zeros, ())
        scale = MPLinear(self.features, (), self.dtype, name='embedding')(embedding, gain) + 1.0
        h = mp_silu(h * scale[:, None, None])
        h = conv(Dropout(self.dropout, deterministic=not train)(h), 3, 'conv_2')
        if not self.encoder and x.shape[-1] != self.features:
            x = conv(x, 1, 'shortcut')
        x = mp_sum(x, h, _BALANCE)
        if self.head_features:
            x = mp_sum(x, self._attention(x, conv), _BALANCE)
        return jnp.clip(x, -_LARGEST, _LARGEST)

    def _attention(self, x: Array, conv: nn.Module) -> Array:
        """Cosine attention over pixels."""
        batch, height, width, channels = x.shape
        heads = max(1, channels // self.head_features)
        qkv = conv(x, 1, 'qkv', 3 * channels).reshape(batch, height * width, 3, heads, -1)
        qkv = unit_pixels(qkv)
        h = attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], causal=False)
        return conv(h.reshape(x.shape), 1, 'attention')


class MPUNet(Conditional):
    """U-Net without biases or norms, in which every layer keeps the variance of its input. Train
    with `genjax.training.optimizers.forced_norm`, a decaying learning rate, and `EDM` inputs, whose
    variance is 1.

    Attributes:
        shape: (height, width, channels) of an image.
        features: channels of each level, the finest first.
        num_blocks: blocks per level of the encoder; one more in the decoder.
        attention_at: heights of the levels with attention after each block.
        head_features: channels per attention head.
        label_balance: share of a label or context in the embedding.
        dropout: dropout rate inside each block.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (64, 128, 128)
    num_blocks: int = 2
    attention_at: tuple[int, ...] = ()
    head_features: int = 64
    label_balance: float = 0.5
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(
        self, x: Array, time: Array, condition: Array | None = None, train: bool = False
    ) -> Array:
        """Maps x [B, *shape] at `time` [B] to [B, *shape], float32.

        Raises:
            UserError: the fields do not fit each other, or the condition is missing.
        """
        check_picture('MPUNet', self.shape)
        depth = len(self.features)
        sizes = list(zip(*(halvings(side, depth - 1) for side in self.shape[:2]), strict=True))
        embedding = self._embedding(time, self.condition_vector(condition, null=True))

        def block(
            h: Array, level: int, name: str, size: tuple[int, int] | None = None, **options: bool
        ) -> Array:
            attends = sizes[level][0] in self.attention_at and size is None
            attends = options.pop('attends', attends)
            heads = self.head_features if attends else 0
            module = MPBlock(
                self.features[level],
                name.startswith('down'),
                size,
                heads,
                self.dropout,
                self.dtype,
                name=name,
            )
            return module(h, embedding, train)

        # A constant channel in place of biases.
        h = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
        h = MPLinear(self.features[0], (3, 3), self.dtype, name='input')(h)
        skips = [h]
        for level in range(depth):
            if level:
                h = block(h, level - 1, f'down_{level}_resample', sizes[level])
                skips.append(h)
            for i in range(self.num_blocks):
                h = block(h, level, f'down_{level}_block_{i}')
                skips.append(h)
        h = block(h, depth - 1, 'middle_block_0', attends=True)
        h = block(h, depth - 1, 'middle_block_1')
        self.sow('intermediates', 'features', h)
        for level in reversed(range(depth)):
            for i in range(self.num_blocks + 1):
                h = block(mp_concatenate(h, skips.pop()), level, f'up_{level}_block_{i}')
            if level:
                h = block(h, level, f'up_{level}_resample', sizes[level - 1])
        gain = self.param('gain', nn.initializers.zeros, ())
        out = MPLinear(self.shape[-1], (3, 3), 'float32', name='output')
        return out(h.astype(jnp.float32), gain)

    def _embedding(self, time: Array, vector: Array | None) -> Array:
        """Embeds times [B] and conditions [B, F] as [B, 4 * features[0]]."""
        random = np.random.default_rng(0)
        frequencies = random.standard_normal(self.features[0]).astype(np.float32)
        phases = random.uniform(size=self.features[0]).astype(np.float32)
        waves = jnp.cos(2.0 * jnp.pi * (time[:, None] * frequencies + phases))
        width = 4 * self.features[0]
        h = MPLinear(width, dtype=self.dtype, name='time')(math.sqrt(2.0) * waves)
        if vector is not None:
            scaled = vector * math.sqrt(vector.shape[-1])
            label = MPLinear(width, dtype=self.dtype, name='label')(scaled)
            h = mp_sum(h, label, self.label_balance)
        return mp_silu(h)
