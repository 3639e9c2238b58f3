"""Cross-attention of images to the tokens of a context, such as a text."""

import flax.linen as nn
from jax import Array

from genjax.networks.layers import Dense, LayerNorm
from genjax.networks.transformer import attend


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
    """

    num_heads: int
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, tokens: Array) -> Array:
        """Maps x [B, N, C], normalised, and tokens [B, T, D] to the change of x, [B, N, C]."""
        features = x.shape[-1]

        def heads(name: str, inputs: Array) -> Array:
            h = Dense(features, dtype=self.dtype, name=name)(inputs.astype(self.dtype))
            return h.reshape(*h.shape[:2], self.num_heads, -1)

        h = attend(heads('query', x), heads('key', tokens), heads('value', tokens), causal=False)
        zeros = nn.initializers.zeros
        return Dense(features, kernel_init=zeros, dtype=self.dtype, name='out')(h.reshape(x.shape))
