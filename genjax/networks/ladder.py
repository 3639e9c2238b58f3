"""The stochastic ladders of deep hierarchical VAEs."""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.layers import activation_function

_BOUND = 7.0  # soft bound of log standard deviations


class Climb(NamedTuple):
    """Output of the posterior's top-down pass.

    Attributes:
        z: the codes of all levels, the top one first, [B, sum of code_dims].
        hidden: the residual stream at the bottom, the decoder's input, [B, *stream].
        rates: KL(q ‖ p) of each level given the codes above it, [B, levels].
        log_ratio: log p(z) - log q(z|x) of the codes drawn, [B].
    """

    z: Array
    hidden: Array
    rates: Array
    log_ratio: Array


class Levels(nn.Module):
    """Base class of ladders: levels of Gaussian codes, each conditioned on those above. At each
    level the prior is a function of the residual stream, the posterior of the stream and the data's
    features; the drawn code is added to the stream.

    Subclasses set in `setup` a list with a module for each level: `priors` and `posteriors`, to
    mean, log standard deviation and the prior's addition to the stream; `entries`, from codes to
    the stream; and `downs`, blocks of the stream. They implement what is declared below.
    """

    @property
    def code_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of the code of each level, the top one first."""
        raise NotImplementedError

    @property
    def stream(self) -> tuple[int, ...]:
        """The shape of the residual stream at the bottom, the decoder's input."""
        raise NotImplementedError

    @property
    def code_dims(self) -> tuple[int, ...]:
        """Dimension of the code of each level."""
        return tuple(math.prod(shape) for shape in self.code_shapes)

    def _start(self, size: int) -> Array:
        """The stream above the top, [size, ...]."""
        raise NotImplementedError

    def _ups(self, features: Array) -> list[Array]:
        """The bottom-up pass: features for each level, the top one first."""
        raise NotImplementedError

    def _at(self, level: int, hidden: Array) -> Array:
        """The stream as the level takes it."""
        del level
        return hidden

    def __call__(self, features: Array, noise: Array) -> Climb:
        """Runs the top-down pass with codes from the posterior.

        Args:
            features: features of the data, [B, ...].
            noise: standard normal, [B, sum of code_dims].
        """
        ups = self._ups(features)
        hidden = self._start(len(features))
        codes, rates, log_ratio = [], [], 0.0
        for level, each in enumerate(self._split(noise)):
            hidden = self._at(level, hidden)
            mean_p, log_std_p, rest = self.priors[level](hidden)
            mean, log_std, _ = self.posteriors[level](
                jnp.concatenate([hidden, ups[level]], axis=-1)
            )
            z = mean + jnp.exp(log_std) * each
            rates.append(_gaussian_kl(mean, log_std, mean_p, log_std_p))
            log_p = -0.5 * ((z - mean_p) * jnp.exp(-log_std_p)) ** 2 - log_std_p
            log_q = -0.5 * each**2 - log_std
            log_ratio += _sum(log_p - log_q)
            codes.append(z)
            hidden = self._down(level, hidden + rest, z)
        return Climb(_joined(codes), hidden, jnp.stack(rates, axis=-1), log_ratio)

    def generate(self, noise: Array) -> tuple[Array, Array]:
        """Runs the top-down pass with codes from the prior; maps noise [B, sum of code_dims] to
        codes and the final stream [B, *stream].
        """
        hidden, codes = self._start(len(noise)), []
        for level, each in enumerate(self._split(noise)):
            hidden = self._at(level, hidden)
            mean, log_std, rest = self.priors[level](hidden)
            codes.append(mean + jnp.exp(log_std) * each)
            hidden = self._down(level, hidden + rest, codes[-1])
        return _joined(codes), hidden

    def decode(self, z: Array) -> Array:
        """Computes the final stream [B, *stream] from codes [B, sum of code_dims]."""
        hidden = self._start(len(z))
        for level, each in enumerate(self._split(z)):
            hidden = self._at(level, hidden)
            hidden = self._down(level, hidden + self.priors[level](hidden)[2], each)
        return hidden

    def _split(self, z: Array) -> list[Array]:
        dims, shapes = self.code_dims, self.code_shapes
        ends = [sum(dims[: i + 1]) for i in range(len(dims) - 1)]
        parts = jnp.split(z, ends, axis=-1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]

    def _down(self, level: int, hidden: Array, z: Array) -> Array:
        return self.downs[level](hidden + self.entries[level](z))


class Ladder(Levels):
    """A ladder of vectors: the top-down network of VDVAE (Child, 2021) with linear layers.

    Attributes:
        dims: dimensions of the code of each level, the top one first.
        width: of the residual stream and the blocks.
        activation: a name in `jax.nn` or a function.
    """

    dims: tuple[int, ...]
    width: int = 128
    activation: str | Callable = 'silu'

    @property
    def code_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((dim,) for dim in self.dims)

    @property
    def stream(self) -> tuple[int, ...]:
        return (self.width,)

    def setup(self):
        self.top = self.param('top', nn.initializers.zeros, (self.width,))
        names = [f'level_{i}' for i in range(len(self.dims))]
        self.ups = [_Block(self.width, self.activation, name=f'{n}_up') for n in names[1:]]
        self.priors = [
            _Conditional(d, self.width, self.activation, rest=self.width, name=f'{n}_prior')
            for n, d in zip(names, self.dims, strict=True)
        ]
        self.posteriors = [
            _Conditional(d, self.width, self.activation, name=f'{n}_posterior')
            for n, d in zip(names, self.dims, strict=True)
        ]
        # Scale by the number of levels to keep the stream's variance.
        scale = nn.initializers.variance_scaling(1 / len(self.dims), 'fan_in', 'truncated_normal')
        self.entries = [nn.Dense(self.width, kernel_init=scale, name=f'{n}_entry') for n in names]
        self.downs = [_Block(self.width, self.activation, name=f'{n}_down') for n in names]
        self.up_input = nn.Dense(self.width)

    def _start(self, size: int) -> Array:
        return jnp.broadcast_to(self.top, (size, self.width))

    def _ups(self, features: Array) -> list[Array]:
        ups = [self.up_input(features.reshape(len(features), -1))]
        for block in self.ups:  # the bottom level uses the features themselves
            ups.append(block(ups[-1]))
        return ups[::-1]


class _Block(nn.Module):
    """A residual block of two linear layers."""

    width: int
    activation: str | Callable

    @nn.compact
    def __call__(self, x: Array) -> Array:
        act = activation_function(self.activation)
        h = nn.Dense(self.width)(act(x))
        return x + nn.Dense(x.shape[-1])(act(h))


class _Conditional(nn.Module):
    """A network that outputs a mean, a log standard deviation, and `rest` further numbers.

    The last layer is zero-initialised: priors and posteriors start as standard normals.
    """

    dim: int
    width: int
    activation: str | Callable
    rest: int = 0

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        act = activation_function(self.activation)
        h = act(nn.Dense(self.width)(act(nn.Dense(self.width)(x))))
        out = nn.Dense(2 * self.dim + self.rest, kernel_init=nn.initializers.zeros, name='out')(h)
        return normal_and_rest(out, self.dim)


def normal_and_rest(out: Array, dim: int) -> tuple[Array, Array, Array]:
    """Splits [..., 2 dim + rest] into a mean, a bounded log standard deviation, and the rest."""
    mean, log_std, rest = jnp.split(out.astype(jnp.float32), [dim, 2 * dim], axis=-1)
    return mean, _BOUND * jnp.tanh(log_std / _BOUND), rest


def _sum(x: Array) -> Array:
    """Sums over all axes but the first, [B]."""
    return jnp.sum(x, axis=tuple(range(1, x.ndim)))


def _joined(codes: list[Array]) -> Array:
    return jnp.concatenate([code.reshape(len(code), -1) for code in codes], axis=-1)


def _gaussian_kl(mean: Array, log_std: Array, mean_p: Array, log_std_p: Array) -> Array:
    """KL(N(mean, std²) ‖ N(mean_p, std_p²)), summed over all axes but the first."""
    difference = log_std - log_std_p
    squared = ((mean - mean_p) * jnp.exp(-log_std_p)) ** 2
    return 0.5 * _sum(squared + jnp.expm1(2 * difference) - 2 * difference)
