"""The transformer over sequences, causal or not, with a key-value cache."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.attention import Attention, attend, attend_by_head
from genjax.networks.batch_sharding import keep_rows
from genjax.networks.conditional import Conditional
from genjax.networks.layers import Dense, Dropout, LayerNorm, activation_function
from genjax.networks.remat import Remat, checkpoint_name, rematerialised
from genjax.networks.sequences import SequenceInput, check_sequence


def rotate(x: Array, position: Array, base: float = 10_000.0) -> Array:
    """Applies rotary position embeddings (Su et al., 2021): rotates pairs of features by angles
    proportional to the position.

    The inner product of two rotated vectors depends only on the difference of their positions.

    Args:
        x: [B, T, heads, D], D even.
        position: [T].
        base: the slowest pair has a period of about 2π · base positions.
    """
    half = x.shape[-1] // 2
    frequency = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = position.astype(jnp.float32)[:, None, None] * frequency
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x.dtype)


def split_heads(qkv: Array, num_heads: int) -> tuple[Array, Array, Array]:
    """Splits [B, T, 3 D] into queries, keys and values, each [B, T, heads, D / heads].

    The columns of a head are contiguous, so that sharding the columns shards the heads.
    """
    qkv = qkv.reshape(*qkv.shape[:2], num_heads, 3, -1)
    return qkv[..., 0, :], qkv[..., 1, :], qkv[..., 2, :]


def _fit(cache: Array, length: int) -> Array:
    """Cuts a cache [..., length, D], or pads it with zeros."""
    cache = cache[..., :length, :]
    missing = length - cache.shape[-2]
    return jnp.pad(cache, [(0, 0)] * (cache.ndim - 2) + [(0, missing), (0, 0)])


def _from(first: Array, position: Array) -> Array:
    """Mask [B, 1, T, S] of the positions [S] that are at or after the first [B, T]."""
    return (position >= first[..., None])[:, None]


class Block(nn.Module):
    """Pre-LN transformer block: attention and a two-layer MLP.

    The initial scale of each branch's last layer is divided by the square root of the number of
    branches (Radford et al., 2019).
    """

    num_heads: int
    num_layers: int
    expansion: int = 4
    causal: bool = True
    rotary: bool = False
    activation: str | Callable = 'gelu'
    dropout: float = 0.0
    dtype: str = 'float32'
    attention: Attention = 'auto'

    @nn.compact
    def __call__(
        self,
        x: Array,
        cache: Any,
        position: Array,
        train: bool = False,
        first: Array | None = None,
    ) -> tuple[Array, Any]:
        """Maps x [B, T, D] at `position` [T] to the same shape.

        Args:
            x: a whole sequence, or with a cache its next element (T = 1).
            cache: None, or keys and values of earlier elements, each [B, heads, length, D / heads],
                as products take them: nothing is transposed for each element.
            position: of each element of x.
            train: apply dropout.
            first: the first position that each element sees, [B, T]; None: 0.

        Returns:
            The output, and the cache with the new element's keys and values.
        """
        x = keep_rows(x)
        features = x.shape[-1]
        normal = nn.initializers.normal(0.02)
        last = nn.initializers.normal(0.02 / math.sqrt(2 * self.num_layers))
        drop = Dropout(self.dropout, deterministic=not train)

        def dense(width: int, name: str, init: Callable = normal) -> nn.Dense:
            return Dense(width, kernel_init=init, dtype=self.dtype, name=name)

        h = LayerNorm(name='attention_norm')(x).astype(self.dtype)
        qkv = checkpoint_name(dense(3 * features, 'qkv')(h), 'qkv')
        q, k, v = split_heads(qkv, self.num_heads)
        if self.rotary:
            q, k = rotate(q, position), rotate(k, position)
        if cache is None:
            seen = None if first is None else _from(first, position)
            h = attend(q, k, v, causal=self.causal, mask=seen, kind=self.attention)
            h = checkpoint_name(h, 'attention')
        else:
            q, k, v = (jnp.swapaxes(each, 1, 2) for each in (q, k, v))
            cache = tuple(
                jax.lax.dynamic_update_slice_in_dim(old, new, position[0], axis=2)
                for old, new in zip(cache, (k, v), strict=True)
            )
            places = jnp.arange(cache[0].shape[2])
            known = places <= position[0]
            if first is not None:
                known = known & _from(first, places)
            h = jnp.swapaxes(attend_by_head(q, *cache, known), 1, 2)
        x = x + drop(dense(features, 'attention_out', last)(h.reshape(x.shape)))
        h = LayerNorm(name='mlp_norm')(x).astype(self.dtype)
        h = checkpoint_name(dense(self.expansion * features, 'mlp_in')(h), 'mlp')
        h = activation_function(self.activation)(h)
        return x + drop(dense(features, 'mlp_out', last)(h)), cache


class Transformer(Conditional):
    """The GPT-2 transformer (Radford et al., 2019) over tokens or frames of features. A condition
    is added to the embedding of every input.

    Attributes:
        shape: (length,) of tokens, or (length, width) of frames.
        vocab_size: number of tokens; None: frames. Inputs may also contain the token
            `vocab_size`, which is never predicted: beginning of sequence, or mask.
        features: width of the residual stream.
        num_layers: number of blocks.
        num_heads: attention heads.
        expansion: ratio of the MLPs' hidden width to `features`.
        causal: an output depends on inputs up to its own position only.
        positions: 'learned' vectors, or 'rotary' (Su et al., 2021).
        window: number of inputs, up to its own, that an output depends on through one block
            (sliding windows: Child et al., 2019; Beltagy et al., Longformer, 2020); None: all.
        separator: token between documents that are packed into one sequence: an output does not
            depend on inputs before the last separator, with which its document begins.
        tied: use the transposed token embedding as the output layer.
        scan: compile one block and loop over it, so that compile time does not grow with depth;
            slower for shallow networks on a CPU.
        remat: activations that blocks keep for the backward pass: all ('none'), products with
            weights ('dots'), their input only ('full'), or besides it values of these names,
            such as ('qkv', 'mlp@host') (`remat.NAMES`); the rest is recomputed.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate of the embedding and of each branch.
        dtype: computation dtype; parameters, norms, softmax and the output are float32.
        attention: algorithm of the attention, the same to rounding (`attention.attend`): 'plain',
            'chunked', 'cudnn', 'splash', or chosen by device, dtype and number of keys.
    """

    shape: tuple[int, ...]
    vocab_size: int | None = None
    features: int = 128
    num_layers: int = 4
    num_heads: int = 4
    expansion: int = 4
    causal: bool = True
    positions: Literal['learned', 'rotary'] = 'learned'
    window: int | None = None
    separator: int | None = None
    tied: bool = True
    scan: bool = False
    remat: Remat = 'none'
    activation: str | Callable = 'gelu'
    dropout: float = 0.0
    dtype: str = 'float32'
    attention: Attention = 'auto'

    FREE: ClassVar[tuple[str, ...]] = ('attention', 'remat')

    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps int32 [B, T] to logits [B, T, vocab_size], or frames [B, T, width] to the same
        shape, float32; T is at most the length.

        Raises:
            UserError: the fields do not fit each other, or the condition is missing.
        """
        position, start = jnp.arange(x.shape[1]), None
        if self.separator is not None:
            start = jax.lax.cummax(jnp.where(x == self.separator, position, 0), axis=1)
        return self._run(x, None, position, condition, train, self._first(position, start))[0]

    def initial_carry(self, num: int) -> Any:
        """Returns an empty cache for `num` sequences."""
        shape = (num, self.num_heads, self.shape[0], self.features // self.num_heads)
        if self.scan:
            shape = (self.num_layers, *shape)
        pair = (jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype))
        start = None if self.separator is None else jnp.zeros(num, jnp.int32)
        return pair if self.scan else (pair,) * self.num_layers, start

    def resized(self, carry: Any, length: int) -> Any:
        """Returns a cache of the first `length` elements, cut or padded by zeros."""
        cache, start = carry
        return jax.tree.map(lambda each: _fit(each, length), cache), start

    def step(
        self, x: Array, carry: Any, position: Array, condition: Array | None = None
    ) -> tuple[Array, Any]:
        """Processes one element x [B] or [B, width]; returns its output and the new cache."""
        cache, start = carry
        if start is not None:
            start = jnp.where(x == self.separator, position, start)
        first = self._first(position[None], None if start is None else start[:, None])
        out, cache = self._run(x[:, None], cache, position[None], condition, False, first)
        return out[:, 0], (cache, start)

    def _first(self, position: Array, start: Array | None) -> Array | None:
        """The first position that each output depends on, [B or 1, T], given the starts of their
        documents; None: all.
        """
        if self.window is None:
            return start
        first = jnp.maximum(position - self.window + 1, 0)[None]
        return first if start is None else jnp.maximum(first, start)

    @nn.compact
    def _run(
        self,
        x: Array,
        carry: Any,
        position: Array,
        condition: Array | None,
        train: bool,
        first: Array | None,
    ) -> tuple[Array, Any]:
        check_sequence(self)
        if not self.causal and (self.window is not None or self.separator is not None):
            raise UserError('Transformer: window and separator need causal=True')
        if self.features % self.num_heads or (
            self.positions == 'rotary' and (self.features // self.num_heads) % 2
        ):
            raise UserError(
                f'Transformer: {self.num_heads} heads do not fit into {self.features} features'
            )
        embed = SequenceInput(self.vocab_size, self.features, self.dtype, name='input')
        x = embed(x, self.condition_vector(condition, null=True))
        if self.positions == 'learned':
            table = self.param(
                'positions', nn.initializers.normal(0.02), (self.shape[0], self.features)
            )
            x = x + table[position].astype(self.dtype)
        x = Dropout(self.dropout, deterministic=not train)(x)
        x, carry = self._blocks(x, carry, position, train, first)
        x = LayerNorm(name='norm')(x)
        self.sow('intermediates', 'features', x)
        if self.tied and self.vocab_size is not None:
            return embed.attend(x), carry
        width = self.vocab_size or self.shape[-1]
        out = Dense(width, dtype='float32', kernel_init=nn.initializers.normal(0.02), name='out')
        return out(x), carry

    def _blocks(
        self, x: Array, carry: Any, position: Array, train: bool, first: Array | None
    ) -> tuple[Array, Any]:
        fields = {
            'num_heads': self.num_heads,
            'num_layers': self.num_layers,
            'expansion': self.expansion,
            'causal': self.causal,
            'rotary': self.positions == 'rotary',
            'activation': self.activation,
            'dropout': self.dropout,
            'dtype': self.dtype,
            'attention': self.attention,
        }
        # `train` is a Python bool.
        kind = rematerialised(Block, self.remat, prevent_cse=not self.scan, static_argnums=(4,))
        if self.scan:
            blocks = nn.scan(
                kind,
                variable_axes={'params': 0},
                split_rngs={'params': True, 'dropout': True},
                in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast),
                length=self.num_layers,
            )
            return blocks(**fields, name='blocks')(x, carry, position, train, first)
        new = []
        for layer in range(self.num_layers):
            block = kind(**fields, name=f'block_{layer}')
            cache = None if carry is None else carry[layer]
            x, cache = block(x, cache, position, train, first)
            new.append(cache)
        return x, None if carry is None else tuple(new)
