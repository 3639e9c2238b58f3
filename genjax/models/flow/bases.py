"""Distributions of the noise of flows."""

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import draws


class Base(Protocol):
    """The distribution of the noise; codes are flat, [B, D]."""

    def log_prob(self, z: Array) -> Array:
        """Log-density [B] in nats."""

    def sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws z of shape [num, D]."""


@dataclass(frozen=True)
class StandardNormal:
    """Independent normals of mean 0 and variance 1."""

    def log_prob(self, z: Array) -> Array:
        """Log-density [B] of z [B, D]."""
        return -0.5 * jnp.sum(z**2 + math.log(2 * math.pi), axis=-1)

    def sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)


@dataclass(frozen=True)
class StandardLogistic:
    """Independent logistic variables of mean 0 and scale 1 (NICE, Dinh et al., 2015). The
    log-density of outliers falls linearly, not quadratically.
    """

    def log_prob(self, z: Array) -> Array:
        """Log-density [B] of z [B, D]."""
        return jnp.sum(jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z), axis=-1)

    def sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return draws.logistic(key, shape)
