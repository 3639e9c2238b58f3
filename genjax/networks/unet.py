"""The U-Net of diffusion models, conditioned on time and, optionally, label or context."""

from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.attention import Attention, attend
from genjax.networks.conditional import Conditional
from genjax.networks.cross_attention import CrossAttention, TokenEmbedding
from genjax.networks.embedding import LabelEmbedding, TimeEmbedding
from genjax.networks.layers import Dense, Dropout, GroupNorm, check_picture, halvings, upsample
from genjax.networks.remat import Remat, checkpoint_name, rematerialised

_ZEROS = nn.initializers.zeros
_EPSILON = 1e-5  # of the group norms


class TimedBlock(nn.Module):
    """Residual block: norm, SiLU, convolution, twice, conditioned on time and label or context.

    The last convolution is zero-initialised, so that a new block equals its shortcut.

    Attributes:
        features: channels of the output.
        groups: number of groups of the norms; None: at most 32, of at least 4 channels.
        scale_shift: the conditioning scales and shifts the second norm's output (Dhariwal & Nichol,
            2021); if False, it is added before that norm (Ho et al., 2020).
        size: height and width of the output, to downsample by averaging or upsample by repetition,
            after the first norm and in the shortcut; None: those of x.
        dropout: dropout rate before the last convolution.
        dtype: computation dtype; parameters and norms are float32.
    """

    features: int
    groups: int | None = None
    scale_shift: bool = True
    size: tuple[int, int] | None = None
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array, train: bool = False) -> Array:
        """Maps x [B, H, W, C] and condition [B, D] to [B, *size, features]."""
        width = self.features * (2 if self.scale_shift else 1)
        condition = nn.Dense(width, dtype=self.dtype, name='condition')(jax.nn.silu(condition))
        condition = condition[:, None, None]

        h = jax.nn.silu(GroupNorm(self.dtype, self.groups, _EPSILON, name='norm_1')(x))
        if self.size is not None:
            h, x = resize(h, self.size), resize(x, self.size)
        h = nn.Conv(self.features, (3, 3), dtype=self.dtype, name='conv_1')(h)
        h = checkpoint_name(h, 'convolution')
        norm = GroupNorm(self.dtype, self.groups, _EPSILON, name='norm_2')
        if self.scale_shift:
            scale, shift = jnp.split(condition, 2, axis=-1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + condition)
        h = Dropout(self.dropout, deterministic=not train)(jax.nn.silu(h))
        h = nn.Conv(self.features, (3, 3), dtype=self.dtype, kernel_init=_ZEROS, name='conv_2')(h)
        if x.shape[-1] != self.features:
            x = Dense(self.features, dtype=self.dtype, name='shortcut')(x)
        return x + h


class PixelAttention(nn.Module):
    """Pre-norm self-attention over all pixels with a shortcut, then cross-attention to the tokens
    of a context, if there are any; initialised as the identity.
    """

    head_features: int
    groups: int | None = None
    dtype: str = 'float32'
    attention: Attention = 'auto'

    @nn.compact
    def __call__(self, x: Array, tokens: Array | None = None) -> Array:
        """Maps [B, H, W, C] to the same shape; tokens are [B, T, D]."""
        batch, *_, channels = x.shape
        heads = max(1, channels // self.head_features)
        if channels % heads:
            raise UserError(f'UNet: heads of {self.head_features} do not fit into {channels}')
        h = GroupNorm(self.dtype, self.groups, _EPSILON, name='norm')(x)
        qkv = checkpoint_name(Dense(3 * channels, dtype=self.dtype, name='qkv')(h), 'qkv')
        qkv = qkv.reshape(batch, -1, 3, heads, channels // heads)
        q, k, v = (qkv[:, :, part] for part in range(3))
        h = attend(q, k, v, causal=False, kind=self.attention).reshape(x.shape)
        h = checkpoint_name(h, 'attention')
        x = x + Dense(channels, dtype=self.dtype, kernel_init=_ZEROS, name='out')(h)
        if tokens is None:
            return x
        h = GroupNorm(self.dtype, self.groups, _EPSILON, name='cross_norm')(x)
        cross = CrossAttention(heads, self.dtype, self.attention, name='cross')
        return x + cross(h.reshape(batch, -1, channels), tokens).reshape(x.shape)


class UNet(Conditional):
    """A denoiser of images after Dhariwal & Nichol, "Diffusion models beat GANs" (2021), or with
    `scale_shift=False` and small heads after Ho et al. (2020).

    Levels of residual blocks, each at half the previous resolution, with skip connections from the
    downsampling to the upsampling path. The middle always has attention. The last layer is
    zero-initialised.

    A label or vector context is added to the embedding of time; a context [H, W, C] becomes further
    channels of the input; of a context of tokens [T, D], each attention is followed by
    cross-attention to the tokens.

    Attributes:
        shape: (height, width, channels) of an image; odd sides are fine.
        features: channels of each level, the finest first.
        num_blocks: residual blocks per level of the downsampling path; one more in the upsampling
            path.
        attention_at: heights of the levels with attention after each block.
        head_features: channels per attention head.
        groups: number of groups of the norms; None: at most 32, of at least 4 channels.
        scale_shift: conditioning on time, label or context, see `TimedBlock`.
        resample: 'conv': a strided convolution down, repetition and a convolution up; 'block': a
            residual block with averaging or repetition inside.
        time_scale: scale of the time embedding; None: chosen by the model, otherwise 1000.
        freq_shift: of the time embedding, see `embedding.sinusoids`.
        dropout: dropout rate inside each block.
        remat: activations that blocks keep for the backward pass: all ('none'), products with
            weights ('dots'), their input only ('full'), or besides it values of these names,
            such as ('qkv', 'mlp@host') (`remat.NAMES`); the rest is recomputed.
        dtype: computation dtype; parameters, norms, softmax and the output are float32.
        attention: algorithm of the attention, the same to rounding (`attention.attend`): 'plain',
            'chunked', 'cudnn', 'splash', or chosen by device, dtype and number of keys.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (64, 128, 128)
    num_blocks: int = 2
    attention_at: tuple[int, ...] = ()
    head_features: int = 64
    groups: int | None = None
    scale_shift: bool = True
    resample: Literal['conv', 'block'] = 'conv'
    time_scale: float | None = None
    freq_shift: float = 0.0
    dropout: float = 0.0
    remat: Remat = 'none'
    dtype: str = 'float32'
    attention: Attention = 'auto'

    FREE: ClassVar[tuple[str, ...]] = ('attention', 'remat')

    @nn.compact
    def __call__(
        self, x: Array, time: Array, condition: Array | None = None, train: bool = False
    ) -> Array:
        """Maps x [B, *shape] at `time` [B] or [B, K] to [B, *shape], float32.

        Args:
            x: noisy images.
            time: time of each image, or K times each, as for mean velocities.
            condition: label or context (see `Conditional`); the label `num_classes` is the null
                label.
            train: apply dropout.

        Raises:
            UserError: the fields do not fit each other, or the condition is missing.
        """
        check_picture('UNet', self.shape)
        depth = len(self.features)
        sizes = list(zip(*(halvings(side, depth - 1) for side in self.shape[:2]), strict=True))
        heights = [size[0] for size in sizes]
        for height in self.attention_at:
            if height not in heights:
                raise UserError(f'UNet: attention_at has {height}, the levels have {heights}')

        parts = self.condition_parts(condition, self.shape[:2])
        embedding, tokens = self._embedding(time, parts.vector), parts.tokens
        if tokens is not None:
            tokens = TokenEmbedding(4 * self.features[0], self.dtype, name='context')(tokens)

        def block(x: Array, level: int, name: str, size: tuple[int, int] | None = None) -> Array:
            kind = rematerialised(TimedBlock, self.remat, static_argnums=(3,))
            module = kind(
                self.features[level],
                self.groups,
                self.scale_shift,
                size,
                self.dropout,
                self.dtype,
                name=name,
            )
            return module(x, embedding, train)

        def attention(x: Array, name: str) -> Array:
            kind = rematerialised(PixelAttention, self.remat)
            fields = (self.head_features, self.groups, self.dtype, self.attention)
            return kind(*fields, name=name)(x, tokens)

        def conv(x: Array, level: int, name: str, strides: int = 1) -> Array:
            # Pad by 1 on each side: with a stride, 'SAME' would not pad the first side.
            options = {'strides': strides, 'padding': 1, 'dtype': self.dtype}
            return nn.Conv(self.features[level], (3, 3), **options, name=name)(x)

        if parts.channels is not None:
            x = jnp.concatenate([x, parts.channels.astype(x.dtype)], axis=-1)
        h = conv(x.astype(self.dtype), 0, 'input')
        skips = [h]
        for level in range(depth):
            for i in range(self.num_blocks):
                h = block(h, level, f'down_{level}_block_{i}')
                if heights[level] in self.attention_at:
                    h = attention(h, f'down_{level}_attention_{i}')
                skips.append(h)
            if level < depth - 1:
                name = f'down_{level}_resample'
                if self.resample == 'block':
                    h = block(h, level, name, sizes[level + 1])
                else:
                    h = conv(h, level, name, strides=2)
                skips.append(h)

        h = block(h, depth - 1, 'middle_block_0')
        h = attention(h, 'middle_attention')
        h = block(h, depth - 1, 'middle_block_1')

        self.sow('intermediates', 'features', h)
        for level in reversed(range(depth)):
            for i in range(self.num_blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = block(h, level, f'up_{level}_block_{i}')
                if heights[level] in self.attention_at:
                    h = attention(h, f'up_{level}_attention_{i}')
            if level:
                name = f'up_{level}_resample'
                if self.resample == 'block':
                    h = block(h, level, name, sizes[level - 1])
                else:
                    h = conv(upsample(h, *sizes[level - 1]), level, name)

        h = jax.nn.silu(GroupNorm('float32', self.groups, _EPSILON, name='norm')(h))
        return nn.Conv(self.shape[-1], (3, 3), kernel_init=_ZEROS, name='output')(h)

    def _embedding(self, time: Array, vector: Array | None) -> Array:
        """Computes the conditioning of the blocks, [B, 4 * features[0]]."""
        width = 4 * self.features[0]
        embed = TimeEmbedding(
            width,
            self.time_scale,
            sinusoids=self.features[0],
            freq_shift=self.freq_shift,
            dtype=self.dtype,
            name='time',
        )
        embedding = embed(time)
        if vector is not None:
            embed = LabelEmbedding(self.condition_features, width, self.dtype, name='label')
            embedding = embedding + embed(vector)
        return embedding


def resize(x: Array, size: tuple[int, int]) -> Array:
    """Downsamples [B, H, W, C] by averaging 2x2 pixels (fewer at odd borders), or upsamples by
    repetition.
    """
    if size[0] > x.shape[1]:
        return upsample(x, *size)
    return nn.avg_pool(x, (2, 2), (2, 2), padding='SAME', count_include_pad=False)
