"""Pairs of parameters and observations of a simulator."""

import functools
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.simulators.base import Simulator
from genjax.data.sources import InMemorySource
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest

_MODELLED = ('parameters', 'observations')


@dataclass(frozen=True)
class Simulations:
    """Parameters drawn from the prior of a simulator, and an observation of each, in memory.

    With `modelled='parameters'` x is θ and the context is the observation, so that a model learns
    the posterior (NPE); with `'observations'` they are swapped, and it learns the likelihood (NLE).

    Simulation i of a split is a function of the seed, the split and i, computed on the CPU.

    Attributes:
        task: the simulator.
        num: simulations for training; validation and test have 2,000 each.
        seed: of all splits.
        modelled: which of the two is x.
    """

    task: Simulator
    num: int
    seed: int = 0
    modelled: Literal['parameters', 'observations'] = 'parameters'

    num_classes: ClassVar[None] = None

    def __post_init__(self):
        if self.modelled not in _MODELLED:
            guess = nearest(self.modelled, _MODELLED)
            raise UserError(
                f'Simulations.modelled={self.modelled!r} is not one of {_MODELLED}{guess}'
            )
        if self.num < 1:
            raise UserError(f'Simulations.num must be at least 1, not {self.num}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of what is modelled."""
        return self._shapes[0]

    @property
    def context_shape(self) -> tuple[int, ...]:
        """The shape of the other."""
        return self._shapes[1]

    @property
    def _shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        shapes = (self.task.num_parameters,), tuple(self.task.observation_shape)
        return shapes if self.modelled == 'parameters' else shapes[::-1]

    def log_prob(self, x: Array, context: Array) -> Array:
        """Returns the exact log p(x | context) [B] in nats: the posterior, or the likelihood.

        Raises:
            UserError: that of this task is not known.
        """
        name = 'posterior_log_prob' if self.modelled == 'parameters' else 'log_likelihood'
        exact = getattr(self.task, name, None)
        if exact is None:
            raise UserError(f'{type(self.task).__name__} has no exact density: it lacks {name}()')
        return exact(x, context) if self.modelled == 'parameters' else exact(context, x)

    def source(self, split: str) -> InMemorySource:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        num = self.num if split == 'train' else 2000
        theta, x = _simulated(self.task, self.seed, SPLITS.index(split), num)
        names = ('x', 'context') if self.modelled == 'parameters' else ('context', 'x')
        return InMemorySource(dict(zip(names, (theta, x), strict=True)))


@functools.lru_cache(maxsize=4)
def _simulated(task: Simulator, seed: int, split: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters float32 [num, P] and observations float32 [num, *X]."""

    def pair(key: Array) -> tuple[Array, Array]:
        prior_key, key = jax.random.split(key)
        theta = task.prior_sample(prior_key, 1)
        return theta[0], task.simulate(key, theta)[0].astype(jnp.float32)

    @jax.jit
    def pairs(key: Array) -> tuple[Array, Array]:
        return jax.vmap(pair)(jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num)))

    # The same everywhere: other devices round differently.
    with jax.transfer_guard('allow'), jax.default_device(jax.local_devices(backend='cpu')[0]):
        key = jax.random.fold_in(jax.random.key(seed), split)
        return tuple(np.array(part) for part in pairs(key))
