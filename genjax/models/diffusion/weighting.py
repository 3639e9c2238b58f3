"""Which times a diffusion model is trained at, and how much each counts."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.diffusion.parameterisations import Parameterisation
from genjax.models.diffusion.paths import Path


class TimeSampling:
    """Base class: a distribution of times, by its quantiles."""

    def quantile(self, path: Path, share: Array) -> Array:
        """The time below which a `share` in (0, 1) of the times lies."""
        raise NotImplementedError

    def draw(self, path: Path, key: Array, num: int) -> Array:
        """Draws [num] times, spread evenly: less noise in the mean of a batch (Kingma et al., 2021,
        appendix I.1).
        """
        offset = jax.random.uniform(key)
        share = (offset + jnp.arange(num) / num) % 1.0
        return self.quantile(path, jnp.clip(share, 1e-6, 1.0 - 1e-6))

    def density(self, path: Path, t: Array) -> Array:
        """The density at t: one over the slope of the quantiles."""
        raise NotImplementedError


@dataclass(frozen=True)
class Uniform(TimeSampling):
    """Times between `t_min` and `t_max` alike."""

    def quantile(self, path: Path, share: Array) -> Array:
        """Linear."""
        return path.t_min + share * (path.t_max - path.t_min)

    def density(self, path: Path, t: Array) -> Array:
        """Constant."""
        return jnp.full_like(t, 1.0 / (path.t_max - path.t_min))


@dataclass(frozen=True)
class UniformLogSNR(TimeSampling):
    """Log-SNRs between those of `t_max` and `t_min` alike."""

    def quantile(self, path: Path, share: Array) -> Array:
        """Linear in the log-SNR."""
        first, last = path.finite_ends('UniformLogSNR')
        return path.time(first + share * (last - first))

    def density(self, path: Path, t: Array) -> Array:
        """|d log SNR / dt| over the range."""
        first, last = path.finite_ends('UniformLogSNR')
        return path.log_snr_rate(t) / (last - first)


@dataclass(frozen=True)
class LogNormal(TimeSampling):
    """log(σ / α) is normal: EDM (Karras et al., 2022).

    Attributes:
        mean: of log(σ / α).
        std: its standard deviation.
    """

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, path: Path, share: Array) -> Array:
        """From the normal's; kept within `t_min` and `t_max`."""
        log_ratio = self.mean + self.std * jax.scipy.special.ndtri(share)
        return jnp.clip(path.time(-2.0 * log_ratio), path.t_min, path.t_max)

    def density(self, path: Path, t: Array) -> Array:
        """The normal's by change of variables."""
        z = (-0.5 * path.log_snr(t) - self.mean) / self.std
        normal = jnp.exp(-0.5 * z**2) / (self.std * math.sqrt(2.0 * math.pi))
        return normal * 0.5 * jnp.abs(path.log_snr_rate(t))


@dataclass(frozen=True)
class LogitNormal(TimeSampling):
    """log(t / (1 - t)) is normal (Esser et al., "Scaling rectified flow transformers", 2024).

    Attributes:
        mean: of the logit.
        std: its standard deviation.
    """

    mean: float = 0.0
    std: float = 1.0

    def quantile(self, path: Path, share: Array) -> Array:
        """From the normal's; kept within `t_min` and `t_max`."""
        t = jax.nn.sigmoid(self.mean + self.std * jax.scipy.special.ndtri(share))
        return jnp.clip(t, path.t_min, path.t_max)

    def density(self, path: Path, t: Array) -> Array:
        """The normal's by change of variables."""
        del path
        z = (jnp.log(t) - jnp.log1p(-t) - self.mean) / self.std
        return jnp.exp(-0.5 * z**2) / (self.std * math.sqrt(2.0 * math.pi) * t * (1.0 - t))


class Weighting:
    """Base class: what the squared error of the network's output counts at a time."""

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        """The weight, of the shape of t."""
        raise NotImplementedError


@dataclass(frozen=True)
class Unweighted(Weighting):
    """1: the "simple" loss of DDPM, flow matching, and EDM's λ(σ), each with its own target."""

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        """Ones."""
        del path, parameterisation, times
        return jnp.ones_like(t)


def noise_error(path: Path, parameterisation: Parameterisation, t: Array) -> Array:
    """The squared error in ε for one in the network's output: (α / (α b - σ a))²."""
    alpha, (a, b) = path.alpha(t), parameterisation.target(path, t)
    return (alpha / (alpha * b - path.sigma(t) * a)) ** 2


@dataclass(frozen=True)
class ELBO(Weighting):
    """½ |d log SNR / dt| of the error in ε, over the density of the times: the negative evidence
    lower bound up to its ends (Kingma et al., 2021, eq. 17), here in nats a dimension.
    """

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        """In nats."""
        rate = -0.5 * path.log_snr_rate(t) / times.density(path, t)
        return rate * noise_error(path, parameterisation, t)


@dataclass(frozen=True)
class MinSNR(Weighting):
    """min(SNR, γ) / SNR of the error in ε (Hang et al., 2023).

    Of the error in x this is min(SNR, γ), which is 0 at the noisy end: what a label says is hardly
    learned there (see `TruncatedSNR`).

    Attributes:
        gamma: γ.
    """

    gamma: float = 5.0

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        """As above."""
        del times
        share = jnp.minimum(1.0, self.gamma * jnp.exp(-path.log_snr(t)))
        return share * noise_error(path, parameterisation, t)


@dataclass(frozen=True)
class TruncatedSNR(Weighting):
    """The SNR, kept between two bounds, of the error in x: max(SNR, 1) in "Progressive
    distillation" (Salimans & Ho, 2022, section 4).

    At the noisy end, where a label or context is all that is known of x, it is `low` and not 0.

    Attributes:
        low: the least weight.
        high: the greatest.
    """

    low: float = 1.0
    high: float = 20.0

    def __call__(
        self, path: Path, parameterisation: Parameterisation, times: TimeSampling, t: Array
    ) -> Array:
        """As above."""
        del times
        snr = jnp.exp(path.log_snr(t))
        a, b = parameterisation.target(path, t)
        # Of x = (b x_t - σ F) / (α b - σ a) for an error in F.
        error = (path.sigma(t) / (path.alpha(t) * b - path.sigma(t) * a)) ** 2
        return jnp.clip(snr, self.low, self.high) * error
