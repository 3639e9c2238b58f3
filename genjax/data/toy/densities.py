"""Distributions in the plane with exactly known density."""

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.toy.mixtures import ring


class PlaneDensity(Protocol):
    """A plane distribution of known density: a mixture of parts, which are the labels."""

    @property
    def num_parts(self) -> int:
        """Number of parts, all equally likely."""

    def log_prob(self, x: Array) -> Array:
        """Returns the exact log-density in nats of the points `x` [B, 2], as float32 [B]."""

    def draw(self, random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns points float64 [size, 2] and the parts they come from [size]."""


@dataclass(frozen=True)
class Rings:
    """Points uniform on concentric circles, plus isotropic Gaussian noise.

    The distance of a point from the centre follows a Rice distribution.

    Attributes:
        radii: radii of the circles, which are equally likely.
        scale: the standard deviation of the noise along each axis.
    """

    radii: tuple[float, ...]
    scale: float

    @property
    def num_parts(self) -> int:
        """The number of circles."""
        return len(self.radii)

    def log_prob(self, x: Array) -> Array:
        """Returns the exact log-density in nats of the points `x` [B, 2], as float32 [B]."""
        x = jnp.asarray(x, jnp.float32)
        radius = jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))
        radii, variance = jnp.asarray(self.radii), self.scale**2
        # exp(-(r² + R²) / 2σ²) I0(r R / σ²), with the exponential growth of I0 factored out
        circles = -0.5 * (radius - radii) ** 2 / variance
        circles += jnp.log(jax.scipy.special.i0e(radius * radii / variance))
        constant = np.log(self.num_parts) + np.log(2 * np.pi * variance)
        return jax.nn.logsumexp(circles, axis=-1) - constant

    def draw(self, random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns points [size, 2] and their circles [size]."""
        labels = random.randint(self.num_parts, size=size)
        angle = 2 * np.pi * random.random_sample(size)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        noise = self.scale * random.standard_normal((size, 2))
        return np.asarray(self.radii)[labels, None] * circle + noise, labels


@dataclass(frozen=True)
class Checkerboard:
    """Points uniform on the dark squares of a checkerboard centred at the origin.

    Attributes:
        squares: squares along a side, an even number.
        side: the side of a square.
    """

    squares: int
    side: float

    @property
    def num_parts(self) -> int:
        """The number of dark squares."""
        return self.squares**2 // 2

    def log_prob(self, x: Array) -> Array:
        """Returns the log-density in nats of the points `x` [B, 2], as float32 [B]: a constant on
        dark squares, minus infinity elsewhere.
        """
        place = jnp.floor(jnp.asarray(x, jnp.float32) / self.side + self.squares / 2)
        on_board = jnp.all((place >= 0) & (place < self.squares), axis=-1)
        dark = jnp.sum(place, axis=-1) % 2 == 0
        return jnp.where(on_board & dark, -np.log(self.num_parts * self.side**2), -jnp.inf)

    def draw(self, random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns points [size, 2] and their squares [size]."""
        labels = random.randint(self.num_parts, size=size)
        row, place = np.divmod(labels, self.squares // 2)
        corner = np.stack([row, 2 * place + row % 2], axis=-1) - self.squares / 2
        return self.side * (corner + random.random_sample((size, 2))), labels


DENSITIES: dict[str, PlaneDensity] = {
    'eight_gaussians': ring(components=8, radius=2.0**1.5, scale=0.125**0.5),
    'checkerboard': Checkerboard(squares=4, side=2.0),
    'rings': Rings(radii=(1.0, 2.0, 3.0), scale=0.15),
}
"""The first two as in Grathwohl et al., "FFJORD" (2019): means at a distance of 4/√2 with variance
1/8, and a board on [-4, 4]². The rings are our own."""
