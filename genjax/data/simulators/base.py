"""Simulators: parameters θ from a prior, and observations x given θ."""

from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array


class Simulator(Protocol):
    """A task of posterior inference: a frozen dataclass of pure JAX.

    Tasks whose densities are known have further methods: `log_likelihood(theta, x)`, log p(x | θ)
    [B] in nats; `posterior_log_prob(theta, x)`, the exact log p(θ | x) [B] of pairs; and
    `posterior_sample(key, x, num)`, exact samples [num, P] given one observation x.

    Attributes:
        num_parameters: P, the dimension of θ.
        observation_shape: the shape of one x.
    """

    num_parameters: int
    observation_shape: tuple[int, ...]

    def prior_sample(self, key: Array, num: int) -> Array:
        """Draws parameters [num, P] from the prior."""

    def prior_log_prob(self, theta: Array) -> Array:
        """Computes log p(θ) [B] in nats of parameters [B, P]; -inf outside the support."""

    def simulate(self, key: Array, theta: Array) -> Array:
        """Draws an observation for each θ [B, P]: [B, *observation_shape]."""


def box_sample(key: Array, num: int, size: int, bound: float) -> Array:
    """Draws [num, size] uniformly from [-bound, bound]^size."""
    return jax.random.uniform(key, (num, size), minval=-bound, maxval=bound)


def box_log_prob(theta: Array, bound: float) -> Array:
    """Log-density [B] of θ [B, P] under the uniform distribution on [-bound, bound]^P."""
    inside = jnp.all(jnp.abs(theta) <= bound, axis=-1)
    return jnp.where(inside, -theta.shape[-1] * jnp.log(2 * bound), -jnp.inf)


def normal_log_prob(x: Array, mean: Array | float, scale: Array | float) -> Array:
    """Log-density of independent normals, summed over the last axis."""
    z = (x - mean) / scale
    return jnp.sum(-0.5 * (z**2 + jnp.log(2 * jnp.pi)) - jnp.log(scale), axis=-1)
