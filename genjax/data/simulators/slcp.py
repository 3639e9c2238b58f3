"""Simple likelihood, complex posterior."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from genjax.data.simulators.base import box_log_prob, box_sample


@dataclass(frozen=True)
class SLCP:
    """Four points in the plane from one normal distribution, whose mean and covariance have five
    parameters, uniform on [-3, 3]⁵ (Papamakarios et al., 2019; Lueckmann et al., 2021, T.3).

    The mean is (θ₁, θ₂), the standard deviations are θ₃² and θ₄², the correlation is tanh θ₅. As
    signs of θ₃ and θ₄ do not matter, the posterior has four modes. An x holds the points one after
    another, [8].
    """

    num_parameters: ClassVar[int] = 5
    observation_shape: ClassVar[tuple[int, ...]] = (8,)

    def prior_sample(self, key: Array, num: int) -> Array:
        return box_sample(key, num, 5, 3.0)

    def prior_log_prob(self, theta: Array) -> Array:
        return box_log_prob(theta, 3.0)

    def simulate(self, key: Array, theta: Array) -> Array:
        mean, (a, b, c) = _parts(theta)
        first, second = jax.random.normal(key, (2, len(theta), 4))
        points = mean + jnp.stack([a * first, b * first + c * second], axis=-1)
        return points.reshape(-1, 8)

    def log_likelihood(self, theta: Array, x: Array) -> Array:
        mean, (a, b, c) = _parts(theta)
        first, second = jnp.moveaxis(x.reshape(*x.shape[:-1], 4, 2) - mean, -1, 0)
        first = first / a
        second = (second - b * first) / c
        log_density = -0.5 * (first**2 + second**2) - jnp.log(2 * math.pi * a * c)
        return jnp.sum(log_density, axis=-1)


def _parts(theta: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """The mean [B, 1, 2], and the Cholesky factor [[a, 0], [b, c]] of the covariance, [B, 1] each.

    1e-6 is added to both variances, as in the benchmark: they can be 0.
    """
    theta = theta[..., None, :]
    variance = theta[..., 2:4] ** 4 + 1e-6
    covariance = jnp.tanh(theta[..., 4]) * theta[..., 2] ** 2 * theta[..., 3] ** 2
    a = jnp.sqrt(variance[..., 0])
    b = covariance / a
    return theta[..., :2], (a, b, jnp.sqrt(variance[..., 1] - b**2))
