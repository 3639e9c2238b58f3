"""The masked multilayer perceptron of MADE."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.networks.layers import activation_function


class MaskedMLP(nn.Module):
    """MADE over tokens (Germain et al., 2015): the outputs of a token depend on the tokens before
    it only, in the natural order, with degrees spread evenly over the hidden units.

    The last layer is zero-initialised.

    Attributes:
        features: widths of the hidden layers.
        outputs: number of outputs per token.
        activation: a name in `jax.nn` or a function.
        dtype: computation dtype; parameters and the output are float32.
    """

    features: tuple[int, ...]
    outputs: int = 1
    activation: str | Callable = 'relu'
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps x [B, T, P] to [B, T, outputs], float32; row t depends on x[:, :t]."""
        act = activation_function(self.activation)
        batch, length, token_size = x.shape
        # A unit of degree d depends on tokens 1..d; outputs of token t on units of degree below t.
        degrees = np.repeat(np.arange(1, length + 1), token_size)
        h = x.reshape(batch, -1).astype(self.dtype)
        for i, width in enumerate(self.features):
            new = 1 + np.arange(width) % max(1, length - 1)
            h = act(_MaskedDense(degrees[:, None] <= new, dtype=self.dtype, name=f'layer_{i}')(h))
            degrees = new
        last = degrees[:, None] < np.repeat(np.arange(1, length + 1), self.outputs)
        h = _MaskedDense(last, kernel_init=nn.initializers.zeros, name='output')(
            h.astype(jnp.float32)
        )
        return h.reshape(batch, length, self.outputs)


class _MaskedDense(nn.Module):
    """A linear layer with masked weights."""

    mask: np.ndarray
    kernel_init: Callable = nn.initializers.variance_scaling(4.0, 'fan_in', 'truncated_normal')
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param('kernel', self.kernel_init, self.mask.shape)
        bias = self.param('bias', nn.initializers.zeros, self.mask.shape[1:])
        return x @ (kernel * self.mask).astype(self.dtype) + bias.astype(self.dtype)
