"""Parameterisations: prediction targets of a denoising network.

Every target is a linear combination of data and noise, F = a x + b ε. Together with x_t = α x + σ ε
it determines x and ε, so that paths, losses and samplers are independent of the parameterisation.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from genjax.models import flax_utils
from genjax.models.diffusion.paths import Path


class Prediction(NamedTuple):
    """Predicted data and noise of x_t = α x + σ ε.

    Attributes:
        data: the expected x, [B, *event].
        noise: the expected ε, [B, *event].
        share: share of the upper variance of x_s given x_t, in logarithms (see
            `learned_variance`), [B, *event]; None: not learned.
    """

    data: Array
    noise: Array
    share: Array | None = None


class Parameterisation(ABC):
    """Base class. Subclasses implement `target`, and may override the network's inputs.

    Attributes:
        time_scale: scale of the time embedding if the network's `time_scale` is None.
    """

    time_scale = 1000.0

    @abstractmethod
    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        """Returns the coefficients a and b of F = a x + b ε."""

    def input_scale(self, path: Path, t: Array) -> Array:
        """Factor on x_t at the network's input."""
        del path
        return jnp.ones_like(t)

    def network_time(self, path: Path, t: Array) -> Array:
        """Time input of the network."""
        del path
        return t

    def prediction(self, path: Path, x: Array, t: Array, output: Array) -> Prediction:
        """Solves for x and ε given x_t and the network's output F; t must have the rank of x."""
        alpha, sigma, (a, b) = path.alpha(t), path.sigma(t), self.target(path, t)
        determinant = alpha * b - sigma * a
        return Prediction(
            (b * x - sigma * output) / determinant, (alpha * output - a * x) / determinant
        )


@dataclass(frozen=True)
class Epsilon(Parameterisation):
    """F = ε (Ho et al., 2020). It does not determine x where α = 0: choose t_max below that."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        del path
        return jnp.zeros_like(t), jnp.ones_like(t)


@dataclass(frozen=True)
class X0(Parameterisation):
    """F = x. It does not determine ε where σ = 0: choose t_min above that."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        del path
        return jnp.ones_like(t), jnp.zeros_like(t)


@dataclass(frozen=True)
class V(Parameterisation):
    """F = α ε - σ x (Salimans & Ho, "Progressive distillation", 2022)."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
        return -path.sigma(t), path.alpha(t)


@dataclass(frozen=True)
class Velocity(Parameterisation):
    """F = dx_t/dt = α' x + σ' ε: flow matching (Lipman et al., 2023)."""

    def target(self, path: Path, t: Array) -> tuple[Array, Array]:
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
        """Coefficients of x and ε in the target."""
        alpha, sigma, s = path.alpha(t), path.sigma(t), self.data_scale
        norm = jnp.sqrt(sigma**2 + (alpha * s) ** 2)
        return sigma / (s * norm), -alpha * s / norm

    def input_scale(self, path: Path, t: Array) -> Array:
        """1 / √(σ² + α² s²)."""
        return 1.0 / jnp.sqrt(path.sigma(t) ** 2 + (self.data_scale * path.alpha(t)) ** 2)

    def network_time(self, path: Path, t: Array) -> Array:
        """¼ log(σ / α), at most 5 where α is 0."""
        return -0.125 * jnp.maximum(path.log_snr(t), -40.0)
