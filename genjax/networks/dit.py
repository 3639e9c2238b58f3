"""The diffusion transformer."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.attention import Attention, attend
from genjax.networks.batch_sharding import keep_rows
from genjax.networks.conditional import Conditional
from genjax.networks.cross_attention import CrossAttention, TokenEmbedding
from genjax.networks.embedding import LabelEmbedding, TimeEmbedding, sinusoids
from genjax.networks.layers import Dense
from genjax.networks.remat import Remat, checkpoint_name, rematerialised
from genjax.networks.transformer import split_heads

_ZEROS = nn.initializers.zeros
_XAVIER = nn.initializers.xavier_uniform()


def grid_positions(height: int, width: int, features: int) -> Array:
    """Computes fixed position embeddings on a grid: sinusoids of the row, then of the column.

    Returns:
        [height * width, features], in raster order; `features` is a multiple of 4.
    """
    row, column = jnp.divmod(jnp.arange(height * width), width)
    return jnp.concatenate([sinusoids(axis, features // 2) for axis in (row, column)], axis=-1)


class Modulation(nn.Module):
    """Shifts, scales and gates of a block, computed from the conditioning; zero-initialised."""

    num: int
    features: int
    dtype: str

    @nn.compact
    def __call__(self, condition: Array) -> list[Array]:
        """Maps [B, D] to `num` arrays [B, 1, features]."""
        width = self.num * self.features
        out = nn.Dense(width, kernel_init=_ZEROS, dtype=self.dtype)(jax.nn.silu(condition))
        return jnp.split(out[:, None], self.num, axis=-1)


class DiTBlock(nn.Module):
    """Attention and an MLP; the conditioning shifts and scales the input of each and gates its
    output ("adaLN-zero"). Tokens of a context are attended to in between, as in PixArt-α (Chen et
    al., 2024). A new block is the identity.
    """

    num_heads: int
    expansion: int = 4
    dtype: str = 'float32'
    attention: Attention = 'auto'

    @nn.compact
    def __call__(
        self, x: Array, condition: Array, tokens: Array | None = None
    ) -> tuple[Array, None]:
        """Maps x [B, T, D], condition [B, D] and tokens [B, S, D] to [B, T, D], and None for
        `nn.scan`.
        """
        x, condition = keep_rows(x), keep_rows(condition)
        features = x.shape[-1]
        modulation = Modulation(6, features, self.dtype, name='modulation')(condition)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = modulation

        def dense(width: int, name: str) -> nn.Dense:
            return Dense(width, kernel_init=_XAVIER, dtype=self.dtype, name=name)

        h = (_normalise(x) * (1 + scale_1) + shift_1).astype(self.dtype)
        qkv = checkpoint_name(dense(3 * features, 'qkv')(h), 'qkv')
        q, k, v = split_heads(qkv, self.num_heads)
        h = attend(q, k, v, causal=False, kind=self.attention).reshape(x.shape)
        h = checkpoint_name(h, 'attention')
        x = x + gate_1 * dense(features, 'attention_out')(h)
        if tokens is not None:
            cross = CrossAttention(self.num_heads, self.dtype, self.attention, name='cross')
            x = x + cross(_normalise(x), tokens)
        h = (_normalise(x) * (1 + scale_2) + shift_2).astype(self.dtype)
        h = checkpoint_name(dense(self.expansion * features, 'mlp_in')(h), 'mlp')
        return x + gate_2 * dense(features, 'mlp_out')(jax.nn.gelu(h)), None


class DiT(Conditional):
    """A denoiser of images after Peebles & Xie, "Scalable diffusion models with transformers"
    (2023). DiT-XL/2 of the paper is `DiT((32, 32, 4), patch=2, features=1152, num_layers=28,
    num_heads=16, num_classes=1000, out_channels=8)`.

    The last layer is zero-initialised. A label or vector context is added to the embedding of time;
    a context [H, W, C] becomes further channels of the input; each block attends to the tokens of a
    context [T, D].

    Attributes:
        shape: (height, width, channels) of an image.
        patch: the side of a patch, which becomes one token; it divides both sides.
        features: width of the residual stream.
        num_layers: number of blocks.
        num_heads: attention heads; they divide `features`.
        expansion: ratio of the MLPs' hidden width to `features`.
        out_channels: channels of the output; None: those of the image. Twice as many for a network
            that also predicts variances.
        time_scale: scale of the time embedding; None: chosen by the model, otherwise 1000.
        freq_shift: of the time embedding, see `embedding.sinusoids`; diffusers has 1.
        scan: compile one block and loop over it, so that compile time does not grow with depth;
            slower for shallow networks on a CPU.
        remat: activations that blocks keep for the backward pass: all ('none'), products with
            weights ('dots'), their input only ('full'), or besides it values of these names,
            such as ('qkv', 'mlp@host') (`remat.NAMES`); the rest is recomputed.
        dtype: computation dtype; parameters, norms, softmax and the output are float32.
        attention: algorithm of the attention, the same to rounding (`attention.attend`): 'plain',
            'chunked', 'cudnn', 'splash', or chosen by device, dtype and number of keys.
    """

    shape: tuple[int, ...]
    patch: int = 4
    features: int = 256
    num_layers: int = 6
    num_heads: int = 4
    expansion: int = 4
    out_channels: int | None = None
    time_scale: float | None = None
    freq_shift: float = 0.0
    scan: bool = False
    remat: Remat = 'none'
    dtype: str = 'float32'
    attention: Attention = 'auto'

    FREE: ClassVar[tuple[str, ...]] = ('attention', 'remat')

    @nn.compact
    def __call__(self, x: Array, time: Array, condition: Array | None = None) -> Array:
        """Maps x [B, *shape] at `time` [B] or [B, K] to [B, height, width, out_channels], float32.

        Args:
            x: noisy images.
            time: time of each image, or K times each, as for mean velocities.
            condition: label or context (see `Conditional`); the label `num_classes` is the null
                label.

        Raises:
            UserError: the fields do not fit each other, or the condition is missing.
        """
        if len(self.shape) != 3 or self.shape[0] % self.patch or self.shape[1] % self.patch:
            raise UserError(f'DiT: patches of {self.patch} do not tile the shape {self.shape}')
        if self.features % self.num_heads or self.features % 4:
            raise UserError(
                f'DiT: features={self.features} must be a multiple of num_heads={self.num_heads} '
                'and of 4'
            )
        height, width = (side // self.patch for side in self.shape[:2])
        channels = self.out_channels or self.shape[-1]

        normal = nn.initializers.normal(0.02)
        embedding = TimeEmbedding(
            self.features,
            self.time_scale,
            freq_shift=self.freq_shift,
            kernel_init=normal,
            dtype=self.dtype,
            name='time',
        )(time)
        parts = self.condition_parts(condition, self.shape[:2])
        if parts.vector is not None:
            embed = LabelEmbedding(self.condition_features, self.features, self.dtype, name='label')
            embedding = embedding + embed(parts.vector)
        tokens = parts.tokens
        if tokens is not None:
            tokens = TokenEmbedding(self.features, self.dtype, name='context')(tokens)
        if parts.channels is not None:
            x = jnp.concatenate([x, parts.channels.astype(x.dtype)], axis=-1)

        x = x.reshape(len(x), height, self.patch, width, self.patch, -1)
        x = jnp.swapaxes(x, 2, 3).reshape(len(x), height * width, -1).astype(self.dtype)
        x = Dense(self.features, kernel_init=_XAVIER, dtype=self.dtype, name='patches')(x)
        x = x + grid_positions(height, width, self.features).astype(self.dtype)
        x = self._blocks(x, embedding, tokens)

        self.sow('intermediates', 'features', x)
        shift, scale = Modulation(2, self.features, self.dtype, name='modulation')(embedding)
        x = _normalise(x) * (1 + scale) + shift
        x = Dense(self.patch**2 * channels, kernel_init=_ZEROS, name='output')(x)
        x = x.reshape(len(x), height, width, self.patch, self.patch, channels)
        return jnp.swapaxes(x, 2, 3).reshape(len(x), *self.shape[:2], channels)

    def _blocks(self, x: Array, condition: Array, tokens: Array | None) -> Array:
        kind = rematerialised(DiTBlock, self.remat, prevent_cse=not self.scan)
        fields = (self.num_heads, self.expansion, self.dtype, self.attention)
        if self.scan:
            blocks = nn.scan(
                kind,
                variable_axes={'params': 0},
                split_rngs={'params': True},
                in_axes=nn.broadcast,
                length=self.num_layers,
            )
            return blocks(*fields, name='blocks')(x, condition, tokens)[0]
        for layer in range(self.num_layers):
            x, _ = kind(*fields, name=f'block_{layer}')(x, condition, tokens)
        return x


def _normalise(x: Array) -> Array:
    """Layer normalisation without parameters, in float32."""
    x = x.astype(jnp.float32)
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axis=-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-6)
