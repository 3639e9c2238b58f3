"""Distributions of data given the decoder's output.

Each takes `params` [B, *event] in float32, with the last dimension `width` times that of the data.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws, flax_utils
from genjax.models.base import Values

_LOG_SCALE_BOUND = 10.0


class Likelihood(Protocol):
    """Interface of a VAE's likelihood; the data are checked against an optional attribute
    `data_values` before a run.
    """

    density: bool = False
    """True if `log_prob` is a log-density of real x; a missing attribute means discrete x."""

    @property
    def width(self) -> int:
        """Number of parameters per element."""

    def centre(self, x: Array) -> Array:
        """Scales data for the encoder, to absolute values of at most about 1."""

    def start(self, x: Array) -> Array:
        """Initial parameters [*event] of a decoder, from the mean of examples x [B, *event]."""

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-probability or log-density [B] in nats."""

    def sample(self, params: Array, key: Array) -> Array:
        """Draws x [B, *event]."""

    def mean(self, params: Array) -> Array:
        """The expected x [B, *event]."""


def is_density(likelihood: Likelihood | None) -> bool:
    """True for a likelihood of real x, False for one of discrete x."""
    return getattr(likelihood, 'density', False)


def emitting(decoder: nn.Module, likelihood: Likelihood) -> nn.Module:
    """Clones the decoder to emit the likelihood's parameters: multiplies the last dimension of its
    field `shape`, the shape of one example, by the likelihood's width.
    """
    *rest, last = flax_utils.event_shape(decoder, 'decoder')
    return decoder.clone(shape=(*rest, last * likelihood.width))


class FromStart(nn.Module):
    """Adds the constant `start`, zero until it is set, to a decoder's output."""

    network: nn.Module

    def setup(self):
        """Lets the parameters keep the decoder's own names."""
        nn.share_scope(self, self.network)

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps codes z [B, D] to the likelihood's parameters [B, *event] in float32."""
        options = flax_utils.train_option(self.network, train)
        change = self.network(z, *(() if condition is None else (condition,)), **options)
        start = self.variable('constants', 'start', jnp.zeros, change.shape[1:])
        return start.value + change.astype(jnp.float32)


def soft_bound(log_scale: Array) -> Array:
    """Bounds a log-scale to ±10 by 10 tanh(x / 10), close to the identity around zero."""
    return _LOG_SCALE_BOUND * jnp.tanh(log_scale / _LOG_SCALE_BOUND)


def _with_zeros(x: Array) -> Array:
    return jnp.concatenate([x, jnp.zeros_like(x)], axis=-1)


def _sum_event(x: Array) -> Array:
    return jnp.sum(x, axis=tuple(range(1, x.ndim)))


@dataclass(frozen=True)
class Bernoulli:
    """Independent bits; the decoder emits logits. Data are 0 or 1, or probabilities."""

    density: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """One logit per element."""
        return 1

    @property
    def data_values(self) -> Values:
        """Bits, or probabilities of bits."""
        return Values('Bernoulli', 0, 1)

    def centre(self, x: Array) -> Array:
        """Returns bits unchanged: at ±1, the empty pixels of a drawing would dominate a layer."""
        return x

    def start(self, x: Array) -> Array:
        """The logit of the frequency of ones, smoothed by half a count of each value."""
        ones = jnp.sum(x, axis=0) + 0.5
        return jnp.log(ones) - jnp.log(len(x) + 1 - ones)

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-probability [B] of bits x."""
        return _sum_event(x * params - jax.nn.softplus(params))

    def sample(self, params: Array, key: Array) -> Array:
        """Draws bits, as float32 0 or 1."""
        return draws.bernoulli(key, params)

    def mean(self, params: Array) -> Array:
        """Probabilities of a 1."""
        return jax.nn.sigmoid(params)


@dataclass(frozen=True)
class Gaussian:
    """Independent normals; the decoder emits means and, when `scale` is None, log-scales.

    Attributes:
        scale: the standard deviation of every element; None: the decoder emits it.
    """

    scale: float | None = None

    density: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """A mean, and a log-scale unless the scale is fixed."""
        return 2 if self.scale is None else 1

    @property
    def data_values(self) -> Values:
        return Values('Gaussian', unit=True)

    def centre(self, x: Array) -> Array:
        """Returns data unchanged."""
        return x

    def start(self, x: Array) -> Array:
        """The mean, and a log-scale of zero unless the scale is fixed."""
        mean = jnp.mean(x, axis=0)
        return mean if self.scale is not None else _with_zeros(mean)

    def _mean_and_log_scale(self, params: Array) -> tuple[Array, Array]:
        if self.scale is not None:
            return params, jnp.log(jnp.asarray(self.scale, jnp.float32))
        mean, log_scale = jnp.split(params, 2, axis=-1)
        return mean, soft_bound(log_scale)

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-density [B] of x."""
        mean, log_scale = self._mean_and_log_scale(params)
        z = (x - mean) * jnp.exp(-log_scale)
        return _sum_event(-0.5 * (z**2 + math.log(2 * math.pi)) - log_scale)

    def sample(self, params: Array, key: Array) -> Array:
        mean, log_scale = self._mean_and_log_scale(params)
        return mean + jnp.exp(log_scale) * jax.random.normal(key, mean.shape)

    def mean(self, params: Array) -> Array:
        return self._mean_and_log_scale(params)[0]


@dataclass(frozen=True)
class DiscretisedLogistic:
    """Independent integers 0..levels-1: a logistic density discretised into `levels` bins on
    [-1, 1]; the outermost bins include the tails (Kingma et al., 2016; Salimans et al., 2017). A
    probability, not a density: independent of the scaling of data.

    Attributes:
        levels: number of integers; 256 for 8-bit images.
    """

    levels: int = 256

    density: ClassVar[bool] = False

    def __post_init__(self):
        if self.levels < 2:
            raise UserError(f'DiscretisedLogistic needs at least 2 levels, not {self.levels}')

    @property
    def width(self) -> int:
        """A location and a log-scale."""
        return 2

    @property
    def data_values(self) -> Values:
        name = f'DiscretisedLogistic(levels={self.levels})'
        return Values(name, 0, self.levels - 1, whole=True)

    def centre(self, x: Array) -> Array:
        """Maps 0..levels-1 to [-1, 1]."""
        return x.astype(jnp.float32) * (2.0 / (self.levels - 1)) - 1.0

    def start(self, x: Array) -> Array:
        """The mean as location, and zero as log-scale."""
        return _with_zeros(jnp.mean(self.centre(x), axis=0))

    def _location_and_log_scale(self, params: Array) -> tuple[Array, Array]:
        location, log_scale = jnp.split(params, 2, axis=-1)
        # Offset so that zero-initialised outputs give a scale of .14, some bins of an 8-bit image.
        return location, soft_bound(log_scale - 2.0)

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-probability [B] of integers x."""
        location, log_scale = self._location_and_log_scale(params)
        half_bin, inverse_scale = 1.0 / (self.levels - 1), jnp.exp(-log_scale)
        centred = self.centre(x) - location
        upper, lower = (centred + half_bin) * inverse_scale, (centred - half_bin) * inverse_scale
        log_below = jax.nn.log_sigmoid(upper)
        log_above = jax.nn.log_sigmoid(-lower)
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), without cancellation
        log_between = log_below + log_above + jnp.log(-jnp.expm1(-2.0 * half_bin * inverse_scale))
        x = x.astype(jnp.float32)
        edges = jnp.where(x > self.levels - 1.5, log_above, log_between)
        return _sum_event(jnp.where(x < 0.5, log_below, edges))

    def sample(self, params: Array, key: Array) -> Array:
        """Draws integers, as float32."""
        location, log_scale = self._location_and_log_scale(params)
        centred = location + jnp.exp(log_scale) * draws.logistic(key, location.shape)
        return jnp.round(self._levels_of(centred))

    def mean(self, params: Array) -> Array:
        """The locations in units of the data, within 0..levels-1 (the medians)."""
        return self._levels_of(self._location_and_log_scale(params)[0])

    def _levels_of(self, centred: Array) -> Array:
        return jnp.clip((centred + 1.0) * (0.5 * (self.levels - 1)), 0.0, self.levels - 1.0)
