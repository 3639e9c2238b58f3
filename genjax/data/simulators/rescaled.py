"""Observations in other units."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.data.simulators.base import Simulator
from genjax.errors import UserError, nearest

SCALES = ('log', 'log1p', 'sqrt', 'arcsinh')


@dataclass(frozen=True)
class Observed:
    """Base class of simulators whose observations are a function of those of another.

    Attributes:
        task: the simulator.
    """

    task: Simulator

    @property
    def num_parameters(self) -> int:
        """P, the dimension of θ."""
        return self.task.num_parameters

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """The shape of one x."""
        return self.task.observation_shape

    def prior_sample(self, key: Array, num: int) -> Array:
        return self.task.prior_sample(key, num)

    def prior_log_prob(self, theta: Array) -> Array:
        return self.task.prior_log_prob(theta)


@dataclass(frozen=True)
class Rescaled(Observed):
    """A simulator whose observations are on another scale, element by element: those of many orders
    of magnitude become values of order 1, as networks need them.

    As the map is invertible, the posterior given `observed(x)` is that given x.

    Attributes:
        task: the simulator.
        scale: 'log', 'log1p', 'sqrt' or 'arcsinh', of `jax.numpy`.
    """

    scale: str

    def __post_init__(self):
        if self.scale not in SCALES:
            guess = nearest(self.scale, SCALES)
            raise UserError(f'Rescaled.scale={self.scale!r} is not one of {SCALES}{guess}')

    def observed(self, x: Array) -> Array:
        """Rescales observations of the innermost simulator."""
        return self._rescaled(observed(self.task, x))

    def simulate(self, key: Array, theta: Array) -> Array:
        return self._rescaled(self.task.simulate(key, theta))

    def _rescaled(self, x: Array) -> Array:
        return getattr(jnp, self.scale)(x)


@dataclass(frozen=True)
class Dequantised(Observed):
    """A simulator of counts with uniform noise u in [0, 1) added, so that they have a density, for
    a model of observations.

    As u says nothing of θ, the posterior given x + u, whatever u, is that given x.
    """

    def observed(self, x: Array) -> Array:
        """Adds 1/2, the mean of u, to observations of the innermost simulator."""
        return observed(self.task, x) + 0.5

    def simulate(self, key: Array, theta: Array) -> Array:
        key, noise_key = jax.random.split(key)
        x = self.task.simulate(key, theta)
        return x + jax.random.uniform(noise_key, x.shape)


def observed(task: Simulator, x: Array) -> Array:
    """Observations [..., *X] of a simulator, as those of `task`, which may be a wrapper of it."""
    return task.observed(x) if isinstance(task, Observed) else jnp.asarray(x)
