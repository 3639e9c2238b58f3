"""Distributions of training times, and weightings of the loss."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.checks import check_number
from genjax.models.diffusion.parameterisations import Parameterisation
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.time_schedules import shifted


class TimeSampling(ABC):
    """Base class: a distribution of times, defined by its quantile function."""

    @abstractmethod
    def quantile(self, path: Path, share: Array) -> Array:
        """Quantile function: the time at cumulative probability `share` in (0, 1)."""

    def draw(self, path: Path, key: Array, num: int) -> Array:
        """Draws [num] evenly spaced quantiles with a random offset, to reduce the variance of a
        batch's mean loss (Kingma et al., 2021, appendix I.1).
        """
        offset = jax.random.uniform(key)
        share = (offset + jnp.arange(num) / num) % 1.0
        return self.quantile(path, jnp.clip(share, 1e-6, 1.0 - 1e-6))

    @abstractmethod
    def density(self, path: Path, t: Array) -> Array:
        """Density at t: one over the derivative of the quantile function."""


@dataclass(frozen=True)
class Uniform(TimeSampling):
    """Uniform times between `t_min` and `t_max`."""

    def quantile(self, path: Path, share: Array) -> Array:
        return path.t_min + share * (path.t_max - path.t_min)

    def density(self, path: Path, t: Array) -> Array:
        return jnp.full_like(t, 1.0 / (path.t_max - path.t_min))


@dataclass(frozen=True)
class UniformLogSNR(TimeSampling):
    """Uniform log-SNR between those of `t_max` and `t_min`."""

    def quantile(self, path: Path, share: Array) -> Array:
        """Linear in the log-SNR."""
        first, last = path.finite_ends('UniformLogSNR')
        return path.time(first + share * (last - first))

    def density(self, path: Path, t: Array) -> Array:
        """|d log SNR / dt| divided by the range of the log-SNR."""
        first, last = path.finite_ends('UniformLogSNR')
        return path.log_snr_rate(t) / (last - first)


@dataclass(frozen=True)
class LogNormal(TimeSampling):
    """Normal log(σ / α): EDM (Karras et al., 2022).

    Attributes:
        mean: mean of log(σ / α).
        std: standard deviation of log(σ / α).
    """

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, path: Path, share: Array) -> Array:
        """From the normal quantile, clipped to [t_min, t_max]."""
        log_ratio = self.mean + self.std * jax.scipy.special.ndtri(share)
        return jnp.clip(path.time(-2.0 * log_ratio), path.t_min, path.t_max)

    def density(self, path: Path, t: Array) -> Array:
        """Density of t: that of the normal, by the change of variables."""
        z = (-0.5 * path.log_snr(t) - self.mean) / self.std
        normal = jnp.exp(-0.5 * z**2) / (self.std * math.sqrt(2.0 * math.pi))
        return normal * 0.5 * jnp.abs(path.log_snr_rate(t))


@dataclass(frozen=True)
class LogitNormal(TimeSampling):
    """Normal logit, log(t / (1 - t)) (Esser et al., "Scaling rectified flow transformers", 2024).

    Attributes:
        mean: mean of the logit.
        std: standard deviation of the logit.
    """

    mean: float = 0.0
    std: float = 1.0

    def quantile(self, path: Path, share: Array) -> Array:
        """From the normal quantile, clipped to [t_min, t_max]."""
        t = jax.nn.sigmoid(self.mean + self.std * jax.scipy.special.ndtri(share))
        return jnp.clip(t, path.t_min, path.t_max)

    def density(self, path: Path, t: Array) -> Array:
        """Density of t: that of the normal, by the change of variables."""
        del path
        z = (jnp.log(t) - jnp.log1p(-t) - self.mean) / self.std
        return jnp.exp(-0.5 * z**2) / (self.std * math.sqrt(2.0 * math.pi) * t * (1.0 - t))


@dataclass(frozen=True)
class ShiftedTimes(TimeSampling):
    """Times of another distribution, moved to where σ / α is `shift` times as large, as by
    `ShiftedSchedule`.

    Attributes:
        times: the other distribution.
        shift: factor on σ / α.
    """

    times: TimeSampling = field(default_factory=Uniform)
    shift: float = 3.0

    def __post_init__(self):
        check_number('ShiftedTimes.shift', self.shift, above=True)

    def quantile(self, path: Path, share: Array) -> Array:
        moved = shifted(path, self.times.quantile(path, share), self.shift)
        return jnp.clip(moved, path.t_min, path.t_max)

    def density(self, path: Path, t: Array) -> Array:
        """Density of t: that of the other one, by the change of variables."""
        before = shifted(path, t, 1.0 / self.shift)
        slope = path.log_snr_rate(t) / path.log_snr_rate(before)
        return self.times.density(path, before) * slope


class Weighting(ABC):
    """Base class: weight of the squared error of the network's output as a function of time."""

    @abstractmethod
    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        """Computes the weight, in the shape of t."""


@dataclass(frozen=True)
class Unweighted(Weighting):
    """1: the "simple" loss of DDPM, flow matching, and EDM's λ(σ), each with its own target."""

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        del path, parameterisation, times
        return jnp.ones_like(t)


def noise_error(path: Path, parameterisation: Parameterisation, t: Array) -> Array:
    """Squared error in ε per unit squared error of the output: (α / (α b - σ a))²."""
    alpha, (a, b) = path.alpha(t), parameterisation.target(path, t)
    return (alpha / (alpha * b - path.sigma(t) * a)) ** 2


@dataclass(frozen=True)
class ELBO(Weighting):
    """Weight ½ |d log SNR / dt| / density(t) on the error in ε: the negative evidence lower bound
    without its end terms (Kingma et al., 2021, eq. 17), in nats per dimension.
    """

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        rate = -0.5 * path.log_snr_rate(t) / times.density(path, t)
        return rate * noise_error(path, parameterisation, t)


@dataclass(frozen=True)
class MinSNR(Weighting):
    """Weight min(SNR, γ) / SNR on the error in ε (Hang et al., 2023).

    On the error in x this is min(SNR, γ), which vanishes at high noise, where the effect of a label
    is then hardly learned (see `TruncatedSNR`).

    Attributes:
        gamma: γ.
    """

    gamma: float = 5.0

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        del times
        share = jnp.minimum(1.0, self.gamma * jnp.exp(-path.log_snr(t)))
        return share * noise_error(path, parameterisation, t)


@dataclass(frozen=True)
class TruncatedSNR(Weighting):
    """The SNR, clipped to [low, high], as weight on the error in x: max(SNR, 1) in "Progressive
    distillation" (Salimans & Ho, 2022, section 4).

    The weight stays at `low` at high noise, where only a label or context is informative of x.

    Attributes:
        low: minimum weight.
        high: maximum weight.
    """

    low: float = 1.0
    high: float = 20.0

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        del times
        snr = jnp.exp(path.log_snr(t))
        a, b = parameterisation.target(path, t)
        # Squared error in x = (b x_t - σ F) / (α b - σ a) per unit squared error in F.
        error = (path.sigma(t) / (path.alpha(t) * b - path.sigma(t) * a)) ** 2
        return jnp.clip(snr, self.low, self.high) * error
