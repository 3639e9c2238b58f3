"""Layers and helpers shared by networks."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError, nearest

ACTIVATIONS = ('celu', 'elu', 'gelu', 'identity', 'leaky_relu', 'relu', 'selu', 'sigmoid', 'silu',
               'softplus', 'swish', 'tanh')  # fmt: skip


def activation_function(activation: str | Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Returns the function of that name in `jax.nn`; functions are returned unchanged.

    `leaky_relu` has the slope 0.2 that adversarial networks use (Radford et al., 2016).

    Raises:
        UserError: an unknown name.
    """
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        known = ', '.join(ACTIVATIONS)
        raise UserError(
            f'unknown activation {activation!r}{nearest(activation, ACTIVATIONS)} (known: {known})'
        )
    if activation == 'leaky_relu':
        return lambda x: jax.nn.leaky_relu(x, 0.2)
    return getattr(jax.nn, activation)


def product_of_rows(x: Array, kernel: Array, dimensions: object, precision: object = None) -> Array:
    """Computes `lax.dot_general` of x [..., D] and kernel [D, E] as one product of [rows, D].

    Its gradient is a matrix product too. The original's gradient makes XLA's CPU backend transpose
    the accumulated gradient of x in every layer: the step of a transformer of six blocks took 2.6
    times as long.
    """
    del dimensions  # always contracts the last axis of x with the first of the kernel
    y = jax.lax.dot(x.reshape(-1, x.shape[-1]), kernel, precision=precision)
    return y.reshape(*x.shape[:-1], -1)


Dense = functools.partial(nn.Dense, dot_general=product_of_rows)
"""`nn.Dense` for inputs with several batch dimensions."""

# `use_fast_variance` computes E[x²] - E[x]²: with a mean of 1,000 that loses a variance of 1.
BatchNorm = functools.partial(
    nn.BatchNorm, momentum=0.9, dtype=jnp.float32, use_fast_variance=False
)
"""`nn.BatchNorm` in float32, stable for a large mean."""

LayerNorm = functools.partial(nn.LayerNorm, dtype=jnp.float32, use_fast_variance=False)
"""`nn.LayerNorm` in float32, stable for a large mean."""

InstanceNorm = functools.partial(nn.InstanceNorm, dtype=jnp.float32, use_fast_variance=False)
"""`nn.InstanceNorm` in float32, stable for a large mean."""


class Dropout(nn.Dropout):
    """`nn.Dropout` that raises a UserError for rates outside [0, 1)."""

    def __post_init__(self):
        if not 0.0 <= self.rate < 1.0:
            raise UserError(f'dropout must be at least 0 and less than 1, not {self.rate}')
        super().__post_init__()


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He, 2018) in float32.

    Attributes:
        dtype: of the result.
        groups: number of groups; None: at most 32, of at least 4 channels.
        epsilon: added to the variance.
    """

    dtype: str = 'float32'
    groups: int | None = None
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises x [B, ..., C] per example and group.

        Raises:
            UserError: the groups do not divide the channels.
        """
        channels = x.shape[-1]
        groups = self.groups or (1 if channels % 4 else math.gcd(channels // 4, 32))
        if channels % groups:
            raise UserError(f'group norm: {groups} groups do not divide {channels} channels')
        scale = self.param('scale', nn.initializers.ones, (channels,))
        bias = self.param('bias', nn.initializers.zeros, (channels,))
        x = x.astype(jnp.float32)
        axes = tuple(range(1, x.ndim - 1))
        shape = (x.shape[0], *(1 for _ in axes), channels)

        def group_mean(x: Array) -> Array:
            # Sum each channel first: a CPU then adds vectors of neighbouring channels.
            sums = jnp.sum(x, axes).reshape(-1, groups, channels // groups)
            mean = jnp.sum(sums, -1) / (x[0].size // groups)
            return jnp.repeat(mean, channels // groups, axis=-1).reshape(shape)

        x = x - group_mean(x)
        inverse = jax.lax.rsqrt(group_mean(x * x) + self.epsilon)
        return (x * (inverse * scale) + bias).astype(self.dtype)


class ResidualBlock(nn.Module):
    """Pre-activation residual block (He et al., 2016): norm, activation, convolution, twice.

    The last convolution is zero-initialised, so that a new block equals its shortcut.
    """

    features: int
    activation: str | Callable = 'silu'
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Maps [B, H, W, C] to [B, H, W, features]."""
        act = activation_function(self.activation)
        h = nn.Conv(self.features, (3, 3), dtype=self.dtype)(act(GroupNorm(self.dtype)(x)))
        h = act(GroupNorm(self.dtype)(h))
        h = Dropout(self.dropout, deterministic=not train)(h)
        h = nn.Conv(self.features, (3, 3), dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        if x.shape[-1] != self.features:
            x = nn.Conv(self.features, (1, 1), dtype=self.dtype, use_bias=False)(x)
        return x + h


def halvings(size: int, times: int) -> list[int]:
    """Returns the `times + 1` sizes [size, ceil(size / 2), ceil(size / 4), ...]."""
    sizes = [size]
    for _ in range(times):
        sizes.append(-(-sizes[-1] // 2))
    return sizes


def upsample(x: Array, height: int, width: int) -> Array:
    """Doubles x [B, H, W, C] by repetition and crops it to `height` x `width`."""
    x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return x[:, :height, :width]


def check_picture(name: str, shape: tuple[int, ...]) -> None:
    """Raises a UserError unless `shape` is (height, width, channels) with sides of at least 8."""
    if len(shape) != 3 or min(shape[:2]) < 8:
        raise UserError(
            f'{name} works on pictures (height, width, channels) from 8x8 up, '
            f'not on shape {tuple(shape)}'
        )
