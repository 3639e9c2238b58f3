"""Causal transformer for autoregressive flows (TarFlow)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.layers import Dense, LayerNorm
from genjax.networks.transformer import Block


class TokenTransformer(nn.Module):
    """Causal transformer over vectors, shifted by one: the outputs of a token depend on the tokens
    before it only (Zhai et al., "Normalizing flows are capable generative models", 2024).

    The last layer is zero-initialised.

    Attributes:
        features: width of the residual stream.
        num_layers: number of blocks.
        num_heads: attention heads; they divide `features`.
        outputs: number of outputs per token.
        dtype: computation dtype; parameters, norms, softmax and the output are float32.
    """

    features: int = 128
    num_layers: int = 2
    num_heads: int = 4
    outputs: int = 1
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, T, P] to [B, T, outputs], float32; row t depends on x[:, :t]."""
        length = x.shape[1]
        before = jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))
        table = self.param('positions', nn.initializers.normal(0.02), (length, self.features))
        h = Dense(self.features, dtype=self.dtype, name='input')(before.astype(self.dtype))
        h = h + table.astype(self.dtype)
        for layer in range(self.num_layers):
            block = Block(self.num_heads, self.num_layers, dtype=self.dtype, name=f'block_{layer}')
            h, _ = block(h, None, jnp.arange(length))
        h = LayerNorm(name='norm')(h)
        return Dense(self.outputs, kernel_init=nn.initializers.zeros, name='output')(h)
