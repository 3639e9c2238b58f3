"""The multilayer perceptron of maxout units (Goodfellow et al., 2013)."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional


class MaxoutMLP(Conditional):
    """Maxout layers, whose units are the maximum of several linear functions, then a linear layer.
    A condition is appended to the input.

    Attributes:
        features: units of the hidden layers.
        shape: the shape of one output; `()` for one number per example (a discriminator).
        pieces: linear functions per unit.
        dtype: computation dtype; parameters and the output are float32.
    """

    features: tuple[int, ...]
    shape: tuple[int, ...] = ()
    pieces: int = 5
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        """Maps x [B, ...] to [B, *shape], float32."""
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        if (vector := self.condition_vector(condition)) is not None:
            x = jnp.concatenate([x, vector.astype(self.dtype)], axis=-1)
        for width in self.features:
            x = nn.Dense(self.pieces * width, dtype=self.dtype)(x)
            x = jnp.max(x.reshape(-1, self.pieces, width), axis=1)
        self.sow('intermediates', 'features', x)
        x = nn.Dense(math.prod(self.shape), dtype='float32', name='output')(x)
        return x.reshape(x.shape[0], *self.shape)
