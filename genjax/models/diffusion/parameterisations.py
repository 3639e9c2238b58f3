"""What a network of a diffusion model predicts, and what that says of data and noise.

Every parameterisation is a linear combination of both, F = a x + b ε. Together with x_t = α x + σ ε
it gives x and ε back, so that paths, losses and samplers need not know which one is in use.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from genjax.models import flax_utils
from genjax.models.diffusion.paths import Path


class Prediction(NamedTuple):
    """What is believed of x_t = α x + σ ε.

    Attributes:
        data: the expected x, [B, *event].
        noise: the expected ε, [B, *event].
    """

    data: Array
    noise: Array


class Parameterisation:
    """Base class. A subclass says `target`; networks see x_t and t unless it says otherwise.

    Attributes:
        time_scale: of the time embedding of networks that have no `time_scale` of their own.
    """

    time_scale = 1000.0

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        """The factors a and b of F = a x + b ε."""
        raise NotImplementedError

    def input_scale(self, path: Path, t: Array) -> Array:
        """What x_t is multiplied by before the network sees it."""
        del path
        return jnp.ones_like(t)

    def network_time(self, path: Path, t: Array) -> Array:
        """The time that the network is told."""
        del path
        return t

    def prediction(self, path: Path, x: Array, t: Array, output: Array) -> Prediction:
        """The x and ε that x_t and the network's output F imply; t has the number of dimensions of
        x.
        """
        alpha, sigma, (a, b) = path.alpha(t), path.sigma(t), self.target(path, t)
        determinant = alpha * b - sigma * a
        return Prediction(
            (b * x - sigma * output) / determinant, (alpha * output - a * x) / determinant
        )


@dataclass(frozen=True)
class Epsilon(Parameterisation):
    """F = ε (Ho et al., 2020). It says nothing of x where α is 0: t_max must be less."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        """ε."""
        del path
        return jnp.zeros_like(t), jnp.ones_like(t)


@dataclass(frozen=True)
class X0(Parameterisation):
    """F = x. It says nothing of ε where σ is 0: t_min must be more."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        """x."""
        del path
        return jnp.ones_like(t), jnp.zeros_like(t)


@dataclass(frozen=True)
class V(Parameterisation):
    """F = α ε - σ x (Salimans & Ho, "Progressive distillation", 2022)."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        """v."""
        return -path.sigma(t), path.alpha(t)


@dataclass(frozen=True)
class Velocity(Parameterisation):
    """F = dx_t/dt = α' x + σ' ε: flow matching (Lipman et al., 2023)."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        """The velocity."""
        return path.rates(t)


@dataclass(frozen=True)
class EDM(Parameterisation):
    """The preconditioning of Karras et al. (2022), table 1: inputs and targets of variance 1.

    With r = σ / α the target is (x - c_skip x_t / α) / c_out, c_skip = s² / (r² + s²) and
    c_out = r s / √(r² + s²); the network's time is ¼ log r.

    Attributes:
        data_scale: s, the standard deviation of the data.
    """

    time_scale = flax_utils.SMOOTH_TIME
    data_scale: float = 0.5

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        """The factors of x and ε in the target."""
        alpha, sigma, s = path.alpha(t), path.sigma(t), self.data_scale
        norm = jnp.sqrt(sigma**2 + (alpha * s) ** 2)
        return sigma / (s * norm), -alpha * s / norm

    def input_scale(self, path: Path, t: Array) -> Array:
        """1 / √(σ² + α² s²)."""
        return 1.0 / jnp.sqrt(path.sigma(t) ** 2 + (self.data_scale * path.alpha(t)) ** 2)

    def network_time(self, path: Path, t: Array) -> Array:
        """¼ log(σ / α), at most 5 where α is 0."""
        return -0.125 * jnp.maximum(path.log_snr(t), -40.0)
