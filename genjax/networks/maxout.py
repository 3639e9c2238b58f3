"""The multilayer perceptron of maxout units (Goodfellow et al., 2013)."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.layers import one_hot


class MaxoutMLP(nn.Module):
    """Maxout layers, whose units are the maximum of several linear functions, then a linear layer.

    Attributes:
        features: units of the hidden layers.
        shape: the shape of one output; `()` for one number per example (a discriminator).
        pieces: linear functions per unit.
        num_classes: if given, the network takes a label and appends it to its input as one-hot.
        dtype: computation dtype; parameters and the output are float32.
    """

    features: tuple[int, ...]
    shape: tuple[int, ...] = ()
    pieces: int = 5
    num_classes: int | None = None
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None) -> Array:
        """Maps x [B, ...] to [B, *shape], float32."""
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        if self.num_classes is not None:
            x = jnp.concatenate([x, one_hot(label, self.num_classes, self.dtype)], axis=-1)
        for width in self.features:
            x = nn.Dense(self.pieces * width, dtype=self.dtype)(x)
            x = jnp.max(x.reshape(-1, self.pieces, width), axis=1)
        self.sow('intermediates', 'features', x)
        x = nn.Dense(math.prod(self.shape), dtype='float32', name='output')(x)
        return x.reshape(x.shape[0], *self.shape)
