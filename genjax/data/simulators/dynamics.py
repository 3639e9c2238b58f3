"""An epidemic, and predators with their prey: ordinary differential equations, observed with noise.

Solved by the classic Runge-Kutta method with fixed steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln, xlog1py, xlogy

from genjax.data.simulators.base import normal_log_prob


@dataclass(frozen=True)
class SIR:
    """Infected people among 1,000 examined, on ten days of an epidemic, [10]; θ is the contact and
    the recovery rate per day (Lueckmann et al., 2021, T.9).

    dS = -β S I / N, dI = β S I / N - γ I, in a population of N = 1,000,000 with one infected on day
    0; log-normal priors with medians .4 and .125. Each of the days 0, 17, …, 153 has
    x ~ Binomial(1000, I/N).
    """

    num_parameters: ClassVar[int] = 2
    observation_shape: ClassVar[tuple[int, ...]] = (10,)

    def prior_sample(self, key: Array, num: int) -> Array:
        return jnp.exp(_SIR_MEAN + _SIR_SCALE * jax.random.normal(key, (num, 2)))

    def prior_log_prob(self, theta: Array) -> Array:
        return _log_normal(theta, _SIR_MEAN, _SIR_SCALE)

    def simulate(self, key: Array, theta: Array) -> Array:
        return jax.random.binomial(key, 1000.0, self._share(theta))

    def log_likelihood(self, theta: Array, x: Array) -> Array:
        share = self._share(theta)
        ways = gammaln(1001.0) - gammaln(x + 1) - gammaln(1001 - x)
        return jnp.sum(ways + xlogy(x, share) + xlog1py(1000 - x, -share), axis=-1)

    def _share(self, theta: Array) -> Array:
        """I/N [B, 10] on the days of the observations."""
        beta, gamma = jnp.moveaxis(theta, -1, 0)

        def slope(state: Array) -> Array:
            susceptible, log_infected = state
            infected = jnp.exp(log_infected)
            return jnp.stack([-beta * susceptible * infected, beta * susceptible - gamma])

        start = jnp.stack([jnp.full_like(beta, 1 - 1e-6), jnp.full_like(beta, math.log(1e-6))])
        return jnp.exp(_solution(slope, start, interval=17.0, steps=68)[..., 1])


@dataclass(frozen=True)
class LotkaVolterra:
    """Prey and predators at ten times, [20], the ten numbers of prey first (Lueckmann et al., 2021,
    T.10).

    dX = α X - β X Y, dY = -γ Y + δ X Y, from X = 30 and Y = 1; θ = (α, β, γ, δ) with log-normal
    priors. The times are 0, 2.1, …, 18.9, and the noise is log-normal with a deviation of .1.
    """

    num_parameters: ClassVar[int] = 4
    observation_shape: ClassVar[tuple[int, ...]] = (20,)

    def prior_sample(self, key: Array, num: int) -> Array:
        return jnp.exp(_LV_MEAN + 0.5 * jax.random.normal(key, (num, 4)))

    def prior_log_prob(self, theta: Array) -> Array:
        return _log_normal(theta, _LV_MEAN, 0.5)

    def simulate(self, key: Array, theta: Array) -> Array:
        log_number = self._log_numbers(theta)
        return jnp.exp(log_number + 0.1 * jax.random.normal(key, log_number.shape))

    def log_likelihood(self, theta: Array, x: Array) -> Array:
        return _log_normal(x, self._log_numbers(theta), 0.1)

    def _log_numbers(self, theta: Array) -> Array:
        """Logarithms [B, 20] of the numbers, limited to 1e-10..1e4."""
        alpha, beta, gamma, delta = jnp.moveaxis(theta, -1, 0)

        def slope(state: Array) -> Array:
            prey, predators = jnp.exp(state)
            return jnp.stack([alpha - beta * predators, delta * prey - gamma])

        start = jnp.stack([jnp.full_like(alpha, math.log(30)), jnp.zeros_like(alpha)])
        found = _solution(slope, start, interval=2.1, steps=420)
        found = jnp.clip(found, math.log(1e-10), math.log(1e4))
        return jnp.moveaxis(found, -1, -2).reshape(*found.shape[:-2], 20)


_SIR_MEAN = np.log(np.array([0.4, 0.125], np.float32))
_SIR_SCALE = np.array([0.5, 0.2], np.float32)
_LV_MEAN = np.array([-0.125, -3.0, -0.125, -3.0], np.float32)


def _log_normal(x: Array, mean: Array, scale: Array | float) -> Array:
    """Log-density [B] of independent log-normals x [B, D]; -inf unless all are positive."""
    positive = jnp.all(x > 0, axis=-1)
    log_x = jnp.log(jnp.where(x > 0, x, 1.0))
    value = normal_log_prob(log_x, mean, scale) - jnp.sum(log_x, axis=-1)
    return jnp.where(positive, value, -jnp.inf)


def _solution(
    slope: Callable[[Array], Array], start: Array, interval: float, steps: int, num: int = 10
) -> Array:
    """States [B, num, D] at `num` times, `interval` apart, from `start` [D, B]; `steps` Runge-Kutta
    steps each.
    """
    size = interval / steps

    def step(_: int, state: Array) -> Array:
        first = slope(state)
        second = slope(state + 0.5 * size * first)
        third = slope(state + 0.5 * size * second)
        fourth = slope(state + size * third)
        return state + size / 6 * (first + 2 * second + 2 * third + fourth)

    def interval_on(state: Array, _: None) -> tuple[Array, Array]:
        return jax.lax.fori_loop(0, steps, step, state), state

    _, states = jax.lax.scan(interval_on, start, length=num)
    return jnp.moveaxis(states, (0, 1), (-2, -1))
