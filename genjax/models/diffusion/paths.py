"""Paths from data to noise: x_t = α(t) x + σ(t) ε with ε ~ N(0, I), t = 0 the data.

Variance-preserving processes, variance-exploding processes and interpolants differ in α and σ only.
At equal signal-to-noise ratios two paths differ in scale only (Kingma et al., "Variational
diffusion models", 2021), so that a model trained along one can be sampled along another.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError


class Path(ABC):
    """Base class of paths. Subclasses implement `alpha`, `sigma` and `time`, the inverse of
    `log_snr`.

    All functions are elementwise on arrays. α(0) = 1 and σ(0) = 0.

    Attributes:
        t_min: minimum time in training and evaluation.
        t_max: maximum time; sampling starts there, with noise of standard deviation σ(t_max).
    """

    t_min: float
    t_max: float

    @abstractmethod
    def alpha(self, t: Array) -> Array:
        """Scale of the data."""

    @abstractmethod
    def sigma(self, t: Array) -> Array:
        """The standard deviation of the noise."""

    @abstractmethod
    def time(self, log_snr: Array) -> Array:
        """The time at which 2 log(α / σ) is `log_snr`."""

    def log_snr(self, t: Array) -> Array:
        """Log signal-to-noise ratio, 2 log(α / σ); decreasing in time."""
        return 2.0 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def finite_ends(self, user: str) -> tuple[Array, Array]:
        """Returns the log-SNR at t_min and t_max; raises a UserError that names the `user` if one
        is not finite.
        """
        with jax.ensure_compile_time_eval():
            ends = self.log_snr(jnp.array([self.t_min, self.t_max]))
            if not bool(jnp.all(jnp.isfinite(ends))):
                raise UserError(
                    f'{user} needs finite log-SNRs: give {type(self).__name__} a t_min above 0 and '
                    'a t_max where some of the data is left, such as .001 and .999'
                )
        return ends[0], ends[1]

    def rates(self, t: Array) -> tuple[Array, Array]:
        """dα/dt and dσ/dt."""
        ones = jnp.ones_like(t)
        return (
            jax.jvp(self.alpha, (t,), (ones,))[1],
            jax.jvp(self.sigma, (t,), (ones,))[1],
        )

    def log_snr_rate(self, t: Array) -> Array:
        """d log SNR / dt, negative."""
        return jax.jvp(self.log_snr, (t,), (jnp.ones_like(t),))[1]


class VariancePreserving(Path):
    """α² + σ² = 1. Subclasses implement `log_alpha` and its inverse `time_of_log_alpha`."""

    @abstractmethod
    def log_alpha(self, t: Array) -> Array:
        """log α(t)."""

    @abstractmethod
    def time_of_log_alpha(self, log_alpha: Array) -> Array:
        """Inverse of `log_alpha`."""

    def alpha(self, t: Array) -> Array:
        return jnp.exp(self.log_alpha(t))

    def sigma(self, t: Array) -> Array:
        """√(1 - α²), without cancellation where α is nearly 1."""
        return jnp.sqrt(-jnp.expm1(2.0 * self.log_alpha(t)))

    def time(self, log_snr: Array) -> Array:
        """From α² = sigmoid(log SNR)."""
        return self.time_of_log_alpha(0.5 * jax.nn.log_sigmoid(log_snr))


@dataclass(frozen=True)
class LinearVP(VariancePreserving):
    """Noise rate β linear in time: DDPM (Ho et al., 2020) in continuous time, eq. 32 of
    Song et al., "Score-based generative modeling through SDEs" (2021).

    Attributes:
        beta_min: β(0).
        beta_max: β(1).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0

    def log_alpha(self, t: Array) -> Array:
        """-½ ∫ β."""
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def time_of_log_alpha(self, log_alpha: Array) -> Array:
        """Root of the quadratic, without cancellation."""
        slope = self.beta_max - self.beta_min
        root = jnp.sqrt(self.beta_min**2 - 4.0 * slope * log_alpha)
        return -4.0 * log_alpha / (root + self.beta_min)


@dataclass(frozen=True)
class DiscreteVP(VariancePreserving):
    """DDPM's chain of N steps with α² = Π (1 - β_i) and β_i linear from `beta_start` to `beta_end`;
    log α is interpolated linearly between the times i / N.

    Attributes:
        num_steps: N.
        beta_start: β of the first step.
        beta_end: β of the last step.
    """

    num_steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    t_min: float = 1e-3
    t_max: float = 1.0

    def _table(self) -> tuple[Array, Array]:
        betas = jnp.linspace(self.beta_start, self.beta_end, self.num_steps)
        log_alphas = jnp.concatenate([jnp.zeros(1), 0.5 * jnp.cumsum(jnp.log1p(-betas))])
        return jnp.linspace(0.0, 1.0, self.num_steps + 1), log_alphas

    def log_alpha(self, t: Array) -> Array:
        return jnp.interp(t, *self._table())

    def time_of_log_alpha(self, log_alpha: Array) -> Array:
        times, log_alphas = self._table()
        return jnp.interp(-log_alpha, -log_alphas, times)


@dataclass(frozen=True)
class CosineVP(Path):
    """α = cos(π t / 2), σ = sin(π t / 2) (Nichol & Dhariwal, 2021, without their offset)."""

    t_min: float = 1e-3
    t_max: float = 0.999

    def alpha(self, t: Array) -> Array:
        return jnp.cos(0.5 * jnp.pi * t)

    def sigma(self, t: Array) -> Array:
        return jnp.sin(0.5 * jnp.pi * t)

    def time(self, log_snr: Array) -> Array:
        """From tan(π t / 2) = σ / α."""
        return 2.0 / jnp.pi * jnp.arctan(jnp.exp(-0.5 * log_snr))


@dataclass(frozen=True)
class SubVP(Path):
    """σ = 1 - α² with the α of `LinearVP` (Song et al., 2021, eq. 29)."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0

    @property
    def _vp(self) -> LinearVP:
        return LinearVP(self.beta_min, self.beta_max)

    def alpha(self, t: Array) -> Array:
        """α of `LinearVP`."""
        return self._vp.alpha(t)

    def sigma(self, t: Array) -> Array:
        return -jnp.expm1(2.0 * self._vp.log_alpha(t))

    def time(self, log_snr: Array) -> Array:
        """From σ / α = 1 / α - α = -2 sinh(log α)."""
        return self._vp.time_of_log_alpha(-jnp.arcsinh(0.5 * jnp.exp(-0.5 * log_snr)))


@dataclass(frozen=True)
class VE(Path):
    """α = 1 and σ² = σ_min² ((σ_max / σ_min)^2t - 1): variance-exploding (Song et al., 2021).

    Attributes:
        sigma_min: noise scale that is imperceptible in the data.
        sigma_max: noise scale at t = 1, for data of variance about 1.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    t_min: float = 0.01
    t_max: float = 1.0

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Array) -> Array:
        return jnp.ones_like(t)

    def sigma(self, t: Array) -> Array:
        """σ_min √((σ_max / σ_min)^2t - 1)."""
        return self.sigma_min * jnp.sqrt(jnp.expm1(2.0 * t * self._log_ratio))

    def time(self, log_snr: Array) -> Array:
        """Inverse of σ = exp(-½ log SNR)."""
        squared = jnp.exp(-log_snr) / self.sigma_min**2
        return 0.5 * jnp.log1p(squared) / self._log_ratio


@dataclass(frozen=True)
class Karras(Path):
    """α = 1 and σ = σ_max t: EDM (Karras et al., "Elucidating the design space", 2022), with time
    scaled to [0, 1].

    Attributes:
        sigma_max: noise scale at t = 1.
        t_min: σ_min / σ_max; the default is .002 / 80.
    """

    sigma_max: float = 80.0
    t_min: float = 2.5e-5
    t_max: float = 1.0

    def alpha(self, t: Array) -> Array:
        return jnp.ones_like(t)

    def sigma(self, t: Array) -> Array:
        return self.sigma_max * t

    def time(self, log_snr: Array) -> Array:
        return jnp.exp(-0.5 * log_snr) / self.sigma_max


@dataclass(frozen=True)
class Rectified(Path):
    """α = 1 - t and σ = t, a straight line: flow matching (Lipman et al., 2023) and rectified flow
    (Liu et al., 2023).
    """

    t_min: float = 0.0
    t_max: float = 1.0

    def alpha(self, t: Array) -> Array:
        return 1.0 - t

    def sigma(self, t: Array) -> Array:
        return t

    def time(self, log_snr: Array) -> Array:
        """From t / (1 - t) = σ / α."""
        return jax.nn.sigmoid(-0.5 * log_snr)
