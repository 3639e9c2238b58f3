"""A Gaussian of unknown mean, and a mixture of two Gaussians of one unknown mean."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import log_ndtr

from genjax.data.simulators.base import box_log_prob, box_sample, normal_log_prob


@dataclass(frozen=True)
class GaussianLinear:
    """θ ~ N(0, .1 I) and x ~ N(θ, .1 I) in ten dimensions, so that θ given x is N(x/2, .05 I)
    (Lueckmann et al., "Benchmarking simulation-based inference", 2021, T.1).
    """

    num_parameters: ClassVar[int] = 10
    observation_shape: ClassVar[tuple[int, ...]] = (10,)

    def prior_sample(self, key: Array, num: int) -> Array:
        return math.sqrt(0.1) * jax.random.normal(key, (num, 10))

    def prior_log_prob(self, theta: Array) -> Array:
        return normal_log_prob(theta, 0.0, math.sqrt(0.1))

    def simulate(self, key: Array, theta: Array) -> Array:
        return theta + math.sqrt(0.1) * jax.random.normal(key, theta.shape)

    def log_likelihood(self, theta: Array, x: Array) -> Array:
        return normal_log_prob(x, theta, math.sqrt(0.1))

    def posterior_log_prob(self, theta: Array, x: Array) -> Array:
        return normal_log_prob(theta, x / 2, math.sqrt(0.05))

    def posterior_sample(self, key: Array, x: Array, num: int) -> Array:
        return jnp.asarray(x) / 2 + math.sqrt(0.05) * jax.random.normal(key, (num, 10))


@dataclass(frozen=True)
class GaussianMixture:
    """θ uniform on [-10, 10]², and x from N(θ, I) or N(θ, .01 I), equally likely (Sisson et al.,
    2007; Lueckmann et al., 2021, T.7).

    Given x, θ is of the same mixture around x, cut off at the bounds of the prior.
    """

    num_parameters: ClassVar[int] = 2
    observation_shape: ClassVar[tuple[int, ...]] = (2,)

    def prior_sample(self, key: Array, num: int) -> Array:
        return box_sample(key, num, 2, _BOUND)

    def prior_log_prob(self, theta: Array) -> Array:
        return box_log_prob(theta, _BOUND)

    def simulate(self, key: Array, theta: Array) -> Array:
        part_key, key = jax.random.split(key)
        scale = jax.random.choice(part_key, jnp.array(_SCALES), (len(theta), 1))
        return theta + scale * jax.random.normal(key, theta.shape)

    def log_likelihood(self, theta: Array, x: Array) -> Array:
        each = [normal_log_prob(x, theta, scale) for scale in _SCALES]
        return jax.nn.logsumexp(jnp.stack(each), axis=0) - math.log(2)

    def posterior_log_prob(self, theta: Array, x: Array) -> Array:
        inside = jnp.isfinite(self.prior_log_prob(theta))
        log_mass = jax.nn.logsumexp(_log_masses(x), axis=-1) - math.log(2)
        return jnp.where(inside, self.log_likelihood(theta, x) - log_mass, -jnp.inf)

    def posterior_sample(self, key: Array, x: Array, num: int) -> Array:
        part_key, key = jax.random.split(key)
        x = jnp.asarray(x)
        part = jax.random.categorical(part_key, _log_masses(x), shape=(num,))
        scale = jnp.array(_SCALES)[part][:, None]
        z = jax.random.truncated_normal(key, (-_BOUND - x) / scale, (_BOUND - x) / scale, (num, 2))
        return x + scale * z


_BOUND = 10.0
_SCALES = (1.0, 0.1)


def _log_masses(x: Array) -> Array:
    """Log-probability [..., 2] that x [..., 2] plus noise of either scale is inside the bounds."""
    # The bound on the other side is at least ten deviations away.
    return jnp.sum(log_ndtr((_BOUND - jnp.abs(x[..., None, :])) / jnp.array(_SCALES)[:, None]), -1)
