"""Uniform distribution on the bounding box of the data."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Variables

_SMALLEST = 1e-6  # minimum side in the loss: the box of one example has sides of 0


@dataclass(frozen=True)
class UniformBox:
    """The uniform distribution on an axis-aligned box. Its maximum-likelihood fit is the smallest
    box that contains all examples.

    Its only phase, 'bound', widens the box in the state; it has no parameters, so that the
    optimizer does not matter. One epoch fits it; further epochs change nothing. The loss of an
    example is the log-volume of the box before its batch, widened to contain it.

    Attributes:
        shape: the shape of one example.
    """

    shape: tuple[int, ...]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.shape)

    @property
    def num_free_parameters(self) -> int:
        """The coordinates of two corners."""
        return 2 * math.prod(self.shape)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('bound', ('box',), self._loss, merge=_widest),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Returns an empty box as state, and no parameters."""
        del key, batch
        nothing = jnp.full(self.shape, jnp.inf, jnp.float32)
        box = {'low': nothing, 'high': -nothing}
        return {'params': {'box': {}}, 'state': {'box': box}}

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws [num, *event]. Raises a UserError when given a condition."""
        conditions.refuse(self, label, context)
        box = variables['state']['box']
        u = jax.random.uniform(key, (num, *self.shape))
        return box['low'] + u * (box['high'] - box['low'])

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes the exact log-density [B] of x [B, *event]: minus the log-volume inside the box,
        -inf outside; `key` is not used.
        """
        del key
        box = variables['state']['box']
        log_volume = jnp.sum(jnp.log(box['high'] - box['low']))
        inside = jnp.all(_flat((x >= box['low']) & (x <= box['high'])), axis=-1)
        return LogProb(jnp.where(inside, -log_volume, -jnp.inf), 'exact', density=True)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        del key
        x, box = batch['x'].astype(jnp.float32), variables['state']['box']
        mask = batch.get('mask', jnp.ones(len(x), bool)).reshape(-1, *[1] * len(self.shape))
        # Masked examples are ignored.
        low = jnp.minimum(box['low'], jnp.where(mask, x, jnp.inf))
        high = jnp.maximum(box['high'], jnp.where(mask, x, -jnp.inf))
        new = {'low': jnp.min(low, axis=0), 'high': jnp.max(high, axis=0)}
        sides = jnp.maximum(_flat(high - low), _SMALLEST)
        return LossOutput(jnp.sum(jnp.log(sides), axis=-1), {}, {'box': new})


def _widest(before: Any, states: Any, weights: Array) -> Any:
    """Returns the bounding box of the boxes of all micro-batches."""
    del before, weights
    box = states['box']
    return {'box': {'low': jnp.min(box['low'], axis=0), 'high': jnp.max(box['high'], axis=0)}}


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)
