"""Causal transformer for autoregressive flows (TarFlow)."""

from typing import Any

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

    def __call__(self, x: Array) -> Array:
        """Maps x [B, T, P] to [B, T, outputs], float32; row t depends on x[:, :t]."""
        before = jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))
        return self._run(before, (None,) * self.num_layers, jnp.arange(x.shape[1]), x.shape[1])[0]

    def initial_carry(self, num: int, length: int) -> Any:
        """Returns an empty cache for `num` sequences of `length` tokens."""
        shape = (num, self.num_heads, length, self.features // self.num_heads)
        return ((jnp.zeros(shape, self.dtype),) * 2,) * self.num_layers

    def step(self, before: Array, carry: Any, t: Array) -> tuple[Array, Any]:
        """Computes row t [B, outputs] from token t - 1 [B, P], zeros for t = 0, and the cache of
        those before it; returns the new cache as well.
        """
        out, carry = self._run(before[:, None], carry, t[None], carry[0][0].shape[2])
        return out[:, 0], carry

    @nn.compact
    def _run(self, before: Array, carry: Any, position: Array, length: int) -> tuple[Array, Any]:
        table = self.param('positions', nn.initializers.normal(0.02), (length, self.features))
        h = Dense(self.features, dtype=self.dtype, name='input')(before.astype(self.dtype))
        h = h + jnp.asarray(table)[position].astype(self.dtype)  # variables may be NumPy's
        new = []
        for layer, cache in enumerate(carry):
            block = Block(self.num_heads, self.num_layers, dtype=self.dtype, name=f'block_{layer}')
            h, cache = block(h, cache, position)
            new.append(cache)
        h = LayerNorm(name='norm')(h)
        out = Dense(self.outputs, kernel_init=nn.initializers.zeros, name='output')(h)
        return out, tuple(new)
