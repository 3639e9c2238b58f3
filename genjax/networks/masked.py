"""The masked multilayer perceptron of MADE."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
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
        *hidden, last = self._masks(length, token_size)
        h = x.reshape(batch, -1).astype(self.dtype)
        for i, mask in enumerate(hidden):
            h = act(_MaskedDense(mask, dtype=self.dtype, name=f'layer_{i}')(h))
        h = _MaskedDense(last, kernel_init=nn.initializers.zeros, name='output')(
            h.astype(jnp.float32)
        )
        return h.reshape(batch, length, self.outputs)

    def by_row(self, shape: tuple[int, int, int]) -> tuple[Any, Callable]:
        """Prepares to compute rows one after the other, each unit once.

        Args:
            shape: [B, T, P] of x.

        Returns:
            The initial carry, and a function (x, carry, t) -> (row t [B, outputs], carry), to be
            called for t = 0..T - 1 with x that holds all tokens before t.
        """
        act = activation_function(self.activation)
        batch, length, token_size = shape
        params, order, layers = self.variables['params'], np.arange(length * token_size), []
        for i, mask in enumerate(self._masks(length, token_size)):
            name = f'layer_{i}' if i < len(self.features) else 'output'
            kernel, bias = params[name]['kernel'] * mask, params[name]['bias']
            if name == 'output':
                new = np.arange(length * self.outputs).reshape(length, -1)
            else:
                new = by_degree(self._degrees(mask.shape[1], length), length)
            # What a number past the last one takes is 0: the units that fill up a degree.
            kernel = kernel.at[order].get(mode='fill', fill_value=0)
            kernel = kernel.at[:, new].get(mode='fill', fill_value=0)
            dtype = 'float32' if name == 'output' else self.dtype
            bias = bias.at[new].get(mode='fill', fill_value=0)
            layers.append((jnp.moveaxis(kernel, 1, 0).astype(dtype), bias.astype(dtype)))
            order = new.ravel()

        def row(x: Array, carry: tuple[Array, ...], t: Array) -> tuple[Array, tuple[Array, ...]]:
            h, known = x.reshape(batch, -1), []
            for (kernel, bias), units in zip(layers, (*carry, None), strict=True):
                new = h.astype(kernel.dtype) @ kernel[t] + bias[t]
                if units is None:
                    return new, tuple(known)
                start = t * new.shape[1]
                h = jax.lax.dynamic_update_slice_in_dim(units, act(new), start, axis=1)
                known.append(h)

        carry = [jnp.zeros((batch, bias.size), bias.dtype) for _, bias in layers[:-1]]
        return tuple(carry), row

    def _degrees(self, width: int, length: int) -> np.ndarray:
        """A hidden unit of degree d depends on tokens 1..d."""
        return 1 + np.arange(width) % max(1, length - 1)

    def _masks(self, length: int, token_size: int) -> list[np.ndarray]:
        """The mask [inputs, outputs] of each layer: outputs of token t depend on units of degree
        below t.
        """
        tokens = np.arange(1, length + 1)
        degrees, masks = np.repeat(tokens, token_size), []
        for width in self.features:
            new = self._degrees(width, length)
            masks.append(degrees[:, None] <= new)
            degrees = new
        return [*masks, degrees[:, None] < np.repeat(tokens, self.outputs)]


def by_degree(degrees: np.ndarray, length: int) -> np.ndarray:
    """Numbers of the units [..., length, widest] of each degree 0..length - 1, filled up with the
    number of units; `degrees` is [..., units].
    """
    rows = degrees.reshape(-1, degrees.shape[-1])
    units = [[np.flatnonzero(row == degree) for degree in range(length)] for row in rows]
    widest = max(len(group) for row in units for group in row)
    found = np.full((len(rows), length, widest), degrees.shape[-1])
    for row, groups in zip(found, units, strict=True):
        for filled, group in zip(row, groups, strict=True):
            filled[: len(group)] = group
    return found.reshape(*degrees.shape[:-1], length, widest)


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
