"""The multilayer perceptron."""

import math
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.layers import BatchNorm, Dropout, activation_function


class MLP(Conditional):
    """Linear layers with activations, and an optional output layer.

    Without `shape`, returns activated features [B, features[-1]]. With `shape`, a final linear
    layer without activation returns [B, *shape] in float32: data, logits, or with `shape=()` one
    number per example (a discriminator). A condition is appended to the input.

    Attributes:
        features: widths of the hidden layers.
        shape: the shape of one output.
        activation: a name in `jax.nn` or a function.
        norm: 'batch' applies batch normalisation before each activation (Ioffe & Szegedy, 2015):
            by batch statistics in training, which couples examples, by running averages otherwise.
        dropout: dropout rate after each hidden layer.
        frequencies: angular frequencies of sines and cosines appended to the inputs, to learn
            fine detail faster (Tancik et al., 2020).
        bias_scale: initial standard deviation of the hidden layers' biases. With few inputs, zero
            biases put the kinks of all units of a layer in the same place.
        dtype: computation dtype; parameters and the output of the last linear layer are float32.
    """

    features: tuple[int, ...]
    shape: tuple[int, ...] | None = None
    activation: str | Callable = 'relu'
    norm: Literal['batch', 'none'] = 'none'
    dropout: float = 0.0
    frequencies: tuple[float, ...] = ()
    bias_scale: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps x [B, ...] to [B, features[-1]] or [B, *shape]."""
        act = activation_function(self.activation)
        init = nn.initializers.variance_scaling(2.0, 'fan_in', 'truncated_normal')
        if self.activation in ('tanh', 'sigmoid', 'identity'):
            init = nn.initializers.xavier_uniform()
        bias_init = nn.initializers.normal(self.bias_scale)
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        waves = [wave(w * x) for w in self.frequencies for wave in (jnp.sin, jnp.cos)]
        x = jnp.concatenate([x, *waves], axis=-1)
        if (vector := self.condition_vector(condition)) is not None:
            x = jnp.concatenate([x, vector.astype(self.dtype)], axis=-1)
        for width in self.features:
            layer = nn.Dense(width, kernel_init=init, bias_init=bias_init, dtype=self.dtype)
            x = layer(x)
            if self.norm == 'batch':
                x = BatchNorm(use_running_average=not train)(x).astype(self.dtype)
            x = act(x)
            x = Dropout(self.dropout, deterministic=not train)(x)
        if self.shape is None:
            return x
        self.sow('intermediates', 'features', x)
        x = nn.Dense(math.prod(self.shape), dtype='float32', name='output')(x)
        return x.reshape(x.shape[0], *self.shape)
