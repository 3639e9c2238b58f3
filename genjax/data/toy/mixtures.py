"""Uniform mixtures of isotropic Gaussians in the plane, and their density."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True, eq=False)
class Mixture:
    """A uniform mixture of isotropic Gaussians.

    Attributes:
        centres: the mean of each component, [K, 2].
        scale: the standard deviation of every component along each axis.
    """

    centres: np.ndarray
    scale: float

    @property
    def num_parts(self) -> int:
        """The number of components."""
        return len(self.centres)

    def log_prob(self, x: Array) -> Array:
        """Returns the exact log-density in nats of the points `x` [B, 2], as float32 [B]."""
        offset = (jnp.asarray(x, jnp.float32)[:, None, :] - self.centres) / self.scale
        components = -0.5 * jnp.sum(offset**2, axis=-1)
        constant = np.log(len(self.centres)) + np.log(2 * np.pi * self.scale**2)
        return jax.nn.logsumexp(components, axis=-1) - constant

    def draw(self, random: np.random.RandomState, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns points [size, 2] and the components that they come from [size]."""
        labels = random.randint(len(self.centres), size=size)
        return self.centres[labels] + self.scale * random.standard_normal((size, 2)), labels


def ring(components: int, radius: float, scale: float) -> Mixture:
    """Returns a mixture with components evenly spaced on a circle around the origin."""
    angle = 2 * np.pi * np.arange(components) / components
    return Mixture(radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1), scale)


def _grid(side: int, spacing: float, scale: float) -> Mixture:
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return Mixture(np.stack(np.meshgrid(line, line, indexing='ij'), axis=-1).reshape(-1, 2), scale)


LAYOUTS = {
    'ring': ring(components=8, radius=1.0, scale=0.01),
    'grid': _grid(side=5, spacing=2.0, scale=0.05),
}
"""The 2D-ring and the 2D-grid of Lin et al., "PacGAN: the power of two samples in generative
adversarial networks" (2018): variances 1e-4 and 2.5e-3."""
