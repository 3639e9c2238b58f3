"""Cross-attention of images to the tokens of a context, such as a text."""

import flax.linen as nn
from jax import Array

from genjax.networks.attention import Attention, attend
from genjax.networks.layers import Dense, LayerNorm


class TokenEmbedding(nn.Module):
    """Linear embedding of tokens and their positions, normalised.

    Attributes:
        features: width of the embedding.
        dtype: of the result; parameters and the norm are float32.
    """

    features: int
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        """Maps [B, T, D] to [B, T, features]."""
        normal = nn.initializers.normal(0.02)
        place = self.param('positions', normal, (tokens.shape[1], self.features))
        h = Dense(self.features, dtype=self.dtype, kernel_init=normal, name='tokens')(tokens)
        return LayerNorm(name='norm')(h + place).astype(self.dtype)


class CrossAttention(nn.Module):
    """Attention of positions to tokens (Rombach et al., 2022), zero-initialised.

    Attributes:
        num_heads: attention heads; they divide the features of x.
        dtype: computation dtype; parameters are float32.
        attention: see `attention.attend`.
    """

    num_heads: int
    dtype: str = 'float32'
    attention: Attention = 'auto'

    @nn.compact
    def __call__(self, x: Array, tokens: Array) -> Array:
        """Maps x [B, N, C], normalised, and tokens [B, T, D] to the change of x, [B, N, C]."""
        features = x.shape[-1]

        def heads(name: str, inputs: Array) -> Array:
            h = Dense(features, dtype=self.dtype, name=name)(inputs.astype(self.dtype))
            return h.reshape(*h.shape[:2], self.num_heads, -1)

        q, k, v = heads('query', x), heads('key', tokens), heads('value', tokens)
        h = attend(q, k, v, causal=False, kind=self.attention)
        zeros = nn.initializers.zeros
        return Dense(features, kernel_init=zeros, dtype=self.dtype, name='out')(h.reshape(x.shape))
