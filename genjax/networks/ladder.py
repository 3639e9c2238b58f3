"""The stochastic ladder of a deep hierarchical VAE."""

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
        z: the codes of all levels, the top one first, [B, sum of dims].
        hidden: the residual stream at the bottom, the decoder's input, [B, width].
        rates: KL(q ‖ p) of each level given the codes above it, [B, levels].
        log_ratio: log p(z) - log q(z|x) of the codes drawn, [B].
    """

    z: Array
    hidden: Array
    rates: Array
    log_ratio: Array


class Ladder(nn.Module):
    """Levels of Gaussian codes, each conditioned on those above: the top-down network of VDVAE
    (Child, 2021) on vectors. At each level the prior is a function of the residual stream, the
    posterior of the stream and the data's features; the drawn code is added to the stream.

    Attributes:
        dims: dimensions of the code of each level, the top one first.
        width: of the residual stream and the blocks.
        activation: a name in `jax.nn` or a function.
    """

    dims: tuple[int, ...]
    width: int = 128
    activation: str | Callable = 'silu'

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

    def __call__(self, features: Array, noise: Array) -> Climb:
        """Runs the top-down pass with codes from the posterior.

        Args:
            features: features of the data, [B, F].
            noise: standard normal, [B, sum of dims].
        """
        up = self.up_input(features)
        ups = [up]
        for block in self.ups:  # bottom-up; the bottom level uses the features themselves
            ups.append(block(ups[-1]))
        ups = ups[::-1]
        hidden = self._start(len(features))
        codes, rates, log_ratio = [], [], 0.0
        for level, each in enumerate(self._split(noise)):
            mean_p, log_std_p, rest = self.priors[level](hidden)
            mean, log_std, _ = self.posteriors[level](
                jnp.concatenate([hidden, ups[level]], axis=-1)
            )
            z = mean + jnp.exp(log_std) * each
            rates.append(_gaussian_kl(mean, log_std, mean_p, log_std_p))
            log_p = -0.5 * ((z - mean_p) * jnp.exp(-log_std_p)) ** 2 - log_std_p
            log_q = -0.5 * each**2 - log_std
            log_ratio += jnp.sum(log_p - log_q, axis=-1)
            codes.append(z)
            hidden = self._down(level, hidden + rest, z)
        return Climb(jnp.concatenate(codes, axis=-1), hidden, jnp.stack(rates, axis=-1), log_ratio)

    def generate(self, noise: Array) -> tuple[Array, Array]:
        """Runs the top-down pass with codes from the prior; maps noise [B, sum of dims] to codes
        and the final stream [B, width].
        """
        hidden, codes = self._start(len(noise)), []
        for level, each in enumerate(self._split(noise)):
            mean, log_std, rest = self.priors[level](hidden)
            codes.append(mean + jnp.exp(log_std) * each)
            hidden = self._down(level, hidden + rest, codes[-1])
        return jnp.concatenate(codes, axis=-1), hidden

    def decode(self, z: Array) -> Array:
        """Computes the final stream [B, width] from codes [B, sum of dims]."""
        hidden = self._start(len(z))
        for level, each in enumerate(self._split(z)):
            hidden = self._down(level, hidden + self.priors[level](hidden)[2], each)
        return hidden

    def _start(self, size: int) -> Array:
        return jnp.broadcast_to(self.top, (size, self.width))

    def _split(self, z: Array) -> list[Array]:
        ends = [sum(self.dims[: i + 1]) for i in range(len(self.dims) - 1)]
        return jnp.split(z, ends, axis=-1)

    def _down(self, level: int, hidden: Array, z: Array) -> Array:
        return self.downs[level](hidden + self.entries[level](z))


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
        mean, log_std, rest = jnp.split(out.astype(jnp.float32), [self.dim, 2 * self.dim], axis=-1)
        return mean, _BOUND * jnp.tanh(log_std / _BOUND), rest


def _gaussian_kl(mean: Array, log_std: Array, mean_p: Array, log_std_p: Array) -> Array:
    """KL(N(mean, std²) ‖ N(mean_p, std_p²)), summed over the last axis."""
    difference = log_std - log_std_p
    squared = ((mean - mean_p) * jnp.exp(-log_std_p)) ** 2
    return 0.5 * jnp.sum(squared + jnp.expm1(2 * difference) - 2 * difference, axis=-1)
