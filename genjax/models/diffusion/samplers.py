"""Samplers: pure functions `sampler(denoise, path, times, x, key) -> x`.

`denoise(x [B, *event], t []) -> Prediction`; `times` [N + 1] decrease, and x is at times[0]. The
last time may be 0, where the network is not evaluated. Guidance wraps `denoise`. The path may be
any with the network's signal-to-noise ratios (see `along`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.diffusion.parameterisations import Prediction
from genjax.models.diffusion.paths import Path

Denoiser = Callable[[Array, Array], Prediction]


def velocity(path: Path, prediction: Prediction, t: Array) -> Array:
    """Computes dx/dt of the probability-flow ODE: α' x + σ' ε (Song et al., 2021)."""
    alpha_rate, sigma_rate = path.rates(t)
    return alpha_rate * prediction.data + sigma_rate * prediction.noise


def along(denoise: Denoiser, trained: Path, path: Path) -> Denoiser:
    """Adapts a denoiser to another path: evaluates it at the time with the same signal-to-noise
    ratio, on rescaled inputs.
    """

    def moved(x: Array, t: Array) -> Prediction:
        # The paths' ranges of signal-to-noise ratios may differ.
        ends = trained.log_snr(jnp.array([trained.t_max, trained.t_min]))
        time = jnp.clip(
            trained.time(jnp.clip(path.log_snr(t), *ends)), trained.t_min, trained.t_max
        )
        scale = jnp.hypot(trained.alpha(time), trained.sigma(time))
        return denoise(x * scale / jnp.hypot(path.alpha(t), path.sigma(t)), time)

    return moved


class Sampler(ABC):
    """Base class."""

    @abstractmethod
    def __call__(self, denoise: Denoiser, path: Path, times: Array, x: Array, key: Array) -> Array:
        """Takes x from times[0] to times[-1]."""


class OneStep(Sampler):
    """Base class of memoryless samplers; subclasses implement `step`."""

    @abstractmethod
    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        """Takes x from time t to s < t."""

    def __call__(self, denoise: Denoiser, path: Path, times: Array, x: Array, key: Array) -> Array:
        """Takes x from times[0] to times[-1]."""

        def step(x: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, None]:
            return self.step(denoise, path, x, *inputs), None

        keys = jax.random.split(key, len(times) - 1)
        return jax.lax.scan(step, x, (times[:-1], times[1:], keys))[0]


@dataclass(frozen=True)
class Euler(OneStep):
    """x_s = x_t + (s - t) dx/dt. Order 1."""

    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        del key
        return x + (s - t) * velocity(path, denoise(x, t), t)


@dataclass(frozen=True)
class Heun(OneStep):
    """Euler step with a correction by the velocity at its end, except at σ = 0 (Karras et al.,
    2022, algorithm 1). Order 2, two network passes per step.
    """

    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        del key
        first = velocity(path, denoise(x, t), t)
        guess = x + (s - t) * first

        def correct() -> Array:
            return x + 0.5 * (s - t) * (first + velocity(path, denoise(guess, s), s))

        return jax.lax.cond(path.sigma(s) > 0, correct, lambda: guess)


@dataclass(frozen=True)
class EulerMaruyama(OneStep):
    """Euler step of the reverse SDE (Song et al., 2021, eq. 6), with the score -ε / σ and g² = -σ²
    d log SNR / dt. Order 1 in law. Where α is 0, x is pure noise: a step of the ODE.

    Attributes:
        noise: η: factor on the fresh noise; 0 is `Euler`.
    """

    noise: float = 1.0

    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        prediction = denoise(x, t)
        diffuses = path.alpha(t) > 0
        rate = path.log_snr_rate(jnp.where(diffuses, t, 0.5))
        variance = jnp.where(diffuses, -rate * (path.sigma(t) * self.noise) ** 2, 0.0) * (t - s)
        mean = x + (s - t) * velocity(path, prediction, t)
        mean = mean - 0.5 * variance / path.sigma(t) * prediction.noise
        return mean + jnp.sqrt(variance) * jax.random.normal(key, x.shape)


@dataclass(frozen=True)
class DDIM(OneStep):
    """x_s = α_s x + √(σ_s² - η² v) ε + η √v z (Song et al., "Denoising diffusion implicit models",
    2021), v the variance of x_s given x_t and x. Order 1, exact if the expected x is constant.

    Attributes:
        eta: η: 0 is deterministic, 1 adds as much fresh noise z as `Ancestral`.
    """

    eta: float = 0.0

    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        fresh = self.eta**2 * posterior_variance(path, t, s)
        mean = _partly_fresh(path, denoise(x, t), s, fresh)
        return mean + jnp.sqrt(fresh) * jax.random.normal(key, x.shape)


@dataclass(frozen=True)
class Ancestral(OneStep):
    """Draws x_s given x_t and the expected x: DDPM (Ho et al., 2020), for any path. A model with a
    learned variance determines that of x_s.

    Attributes:
        upper_variance: use the variance of x_t given x_s, DDPM's β, instead of that of x_s given
            x_t and x, DDPM's β̃; the step to σ = 0 adds no noise.
    """

    upper_variance: bool = False

    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        variance = posterior_variance(path, t, s)
        prediction = denoise(x, t)
        mean = _partly_fresh(path, prediction, s, variance)
        if prediction.share is not None:
            log_variance = interpolated_log_variance(path, prediction.share, t, s)
            variance = jnp.where(path.sigma(s) > 0, jnp.exp(log_variance), 0.0)
        elif self.upper_variance:
            variance = jnp.where(path.sigma(s) > 0, transition_variance(path, t, s), 0.0)
        return mean + jnp.sqrt(variance) * jax.random.normal(key, x.shape)


@dataclass(frozen=True)
class DPM2M(Sampler):
    """DPM-Solver++(2M) (Lu et al., 2022): exponential integrator of the expected x, extrapolated
    from the last two times. Order 2, one network pass per step.
    """

    def __call__(self, denoise: Denoiser, path: Path, times: Array, x: Array, key: Array) -> Array:
        """Takes x from times[0] to times[-1]; `key` is not used."""
        del key
        half_log_snr = 0.5 * path.log_snr(times)
        widths = jnp.diff(half_log_snr)
        share = 0.5 * widths[1:] / widths[:-1]
        # First order at the first step (no history) and at a step to σ = 0 (infinite width).
        share = jnp.concatenate([jnp.zeros(1), jnp.where(path.sigma(times[2:]) > 0, share, 0.0)])

        def step(carry: tuple[Array, Array], inputs: tuple[Array, ...]) -> tuple[tuple, None]:
            x, last = carry
            t, s, share = inputs
            data = denoise(x, t).data
            mean = data + share * (data - last)
            kept = path.sigma(s) / path.sigma(t)
            x = kept * x + (path.alpha(s) - kept * path.alpha(t)) * mean
            return (x, data), None

        inputs = (times[:-1], times[1:], share)
        return jax.lax.scan(step, (x, jnp.zeros_like(x)), inputs)[0][0]


@dataclass(frozen=True)
class Churn(OneStep):
    """Adds fresh noise before each step of another sampler (Karras et al., 2022, algorithm 2), up
    to the noise level of t_max, the highest in training.

    Attributes:
        sampler: the inner sampler.
        growth: γ, relative increase of σ / α: min(S_churn / N, √2 - 1) in the paper.
        low: S_min, minimum of σ / α for added noise.
        high: S_max, maximum of σ / α for added noise.
        noise_scale: S_noise, standard deviation of the fresh noise.
    """

    sampler: OneStep = field(default_factory=Heun)
    growth: float = 0.4
    low: float = 0.0
    high: float = float('inf')
    noise_scale: float = 1.0

    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        noise_key, key = jax.random.split(key)
        alpha = jnp.where(path.alpha(t) > 0, path.alpha(t), 1.0)
        ratio = path.sigma(t) / alpha
        within = (ratio >= self.low) & (ratio <= self.high)
        # x is pure noise already where α is 0.
        growth = jnp.where(within & (path.alpha(t) > 0), self.growth, 0.0)
        most = jnp.exp(-0.5 * path.log_snr(jnp.asarray(path.t_max, jnp.float32)))
        noisier = jnp.maximum(jnp.minimum(ratio * (1.0 + growth), most), ratio)
        time = jnp.where(growth > 0, path.time(-2.0 * jnp.log(noisier)), t)
        added = jnp.maximum(noisier**2 - ratio**2, 0.0)  # rounding may make it negative
        fresh = self.noise_scale * jnp.sqrt(added)
        churned = x / alpha + fresh * jax.random.normal(noise_key, x.shape)
        x = jnp.where(growth > 0, path.alpha(time) * churned, x)
        return self.sampler.step(denoise, path, x, time, s, key)


def _partly_fresh(path: Path, prediction: Prediction, s: Array, fresh: Array) -> Array:
    """Computes x_s without the part of its noise, of variance `fresh`, to be drawn anew."""
    old = jnp.sqrt(jnp.maximum(path.sigma(s) ** 2 - fresh, 0.0))
    return path.alpha(s) * prediction.data + old * prediction.noise


def transition_variance(path: Path, t: Array, s: Array) -> Array:
    """Variance of x_t given x_s, s < t: σ_t² - (α_t σ_s / α_s)²."""
    return path.sigma(t) ** 2 - (path.alpha(t) * path.sigma(s) / path.alpha(s)) ** 2


def posterior_variance(path: Path, t: Array, s: Array) -> Array:
    """Variance of x_s given x_t and x, s < t."""
    return transition_variance(path, t, s) * (path.sigma(s) / path.sigma(t)) ** 2


def interpolated_log_variance(path: Path, share: Array, t: Array, s: Array) -> Array:
    """Computes v log β + (1 - v) log β̃ with the two variances above (Nichol & Dhariwal, 2021,
    eq. 15).
    """
    upper = jnp.log(transition_variance(path, t, s))
    # β̃ / β = σ_s² / σ_t²; σ_s may be 0, where there is no variance.
    sigma = jnp.where(path.sigma(s) > 0, path.sigma(s), path.sigma(t))
    return upper + 2.0 * (1.0 - share) * jnp.log(sigma / path.sigma(t))
