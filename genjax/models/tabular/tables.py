"""Models of categorical data fitted by counting: the joint table, and naive Bayes.

Their only phase, 'count', adds each batch to the counts in the state; they have no parameters, so
that the optimizer does not matter. Train for one epoch: `steps` times `batch_size` should be the
number of examples. A second epoch doubles all counts, which is equivalent to halving `smoothing`.

The loss of an example is its code length given the earlier batches. If `smoothing` is 0, the loss
uses 1 to stay finite.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.tabular import counts as tables

_MAX_CELLS = 2**27  # of a table: half a gigabyte


class _Counted(ABC):
    """Base class; subclasses define the counted variables."""

    smoothing: float

    def _check(self, smallest: int) -> None:
        name = type(self).__name__
        if isinstance(self.smoothing, int | float) and self.smoothing < 0:
            raise UserError(f'{name}.smoothing must be at least 0, not {self.smoothing}')
        if smallest < 1:
            raise UserError(f'{name}: a variable needs at least one value')
        cells = len(self._sizes) * max(self._sizes)
        if cells > _MAX_CELLS:
            raise UserError(f'{name} would be a table of {cells:,} counts, over {_MAX_CELLS:,}')

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]: ...

    @property
    def data_values(self) -> Values:
        """Integers from 0 to the largest value of any element."""
        return Values(type(self).__name__, 0, self._largest, whole=True)

    @property
    def _largest(self) -> int:
        return int(self._sizes.max()) - 1

    @property
    @abstractmethod
    def _sizes(self) -> np.ndarray:
        """Number of values of each counted variable, [D]."""

    def _values(self, x: Array) -> Array:
        """Maps x [B, *event] to the counted variables int32 [B, D]; -1 for invalid values."""
        return x.reshape(len(x), -1).astype(jnp.int32)

    def _data(self, values: Array) -> Array:
        """The inverse of `_values`, float32."""
        return values.reshape(len(values), *self.event_shape).astype(jnp.float32)

    @property
    def num_free_parameters(self) -> int:
        """Degrees of freedom of the distribution."""
        return int(np.sum(self._sizes - 1))

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('count', ('counts',), self._loss, merge=_added),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Returns zero counts as state, and no parameters."""
        del key, batch
        zeros = jnp.zeros((len(self._sizes), int(self._sizes.max())))
        return {'params': {'counts': {}}, 'state': {'counts': zeros}}

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws [num, *event], integers as float32. Raises a UserError when given a condition."""
        conditions.refuse(self, label, context)
        masses = tables.masses(variables['state']['counts'], self._sizes, self.smoothing)
        return self._data(tables.sample(masses, key, num))

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes the exact log-probability [B] of integers x [B, *event]; `key` is not used.

        It is -inf for values out of range and, if `smoothing` is 0, for values never counted.
        """
        del key
        return LogProb(self._log_prob(variables, self._values(x), self.smoothing), 'exact')

    def _log_prob(self, variables: Variables, values: Array, smoothing: Array | float) -> Array:
        masses = tables.masses(variables['state']['counts'], self._sizes, smoothing)
        possible = tables.is_value(values, self._sizes)
        return jnp.where(possible, tables.log_prob(masses, values), -jnp.inf)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        del key
        values = self._values(batch['x'])
        weight = tables.is_value(values, self._sizes) & batch.get('mask', True)
        counts = tables.add(variables['state']['counts'], values, weight)
        smoothing = jnp.where(jnp.asarray(self.smoothing) > 0, self.smoothing, 1.0)
        loss = -self._log_prob(variables, values, smoothing)
        return LossOutput(loss, {}, {'counts': counts})


def _added(before: Any, states: Any, weights: Array) -> Any:
    """Sums the counts of all micro-batches."""
    del weights
    return jax.tree.map(lambda old, new: old + jnp.sum(new - old, axis=0), before, states)


@dataclass(frozen=True)
class JointTable(_Counted):
    """Joint table: one count per combination of values, with additive smoothing:
    (n + α) / (N + α K).

    α = 0 is maximum likelihood, with probability 0 for unseen combinations; α = 1 is Laplace's rule
    of succession. Train for exactly one epoch.

    Attributes:
        num_values: number of values 0, 1, ... of each element of an example.
        smoothing: α, added to every count.
    """

    num_values: tuple[int, ...]
    smoothing: float = 0.0

    def __post_init__(self):
        self._check(min(self.num_values, default=0))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (len(self.num_values),)

    @property
    def _largest(self) -> int:
        return max(self.num_values) - 1

    @property
    def _sizes(self) -> np.ndarray:
        return np.array([math.prod(self.num_values)])

    def _values(self, x: Array) -> Array:
        digits, sizes = super()._values(x), np.array(self.num_values)
        places = np.cumprod([1, *sizes[:0:-1]])[::-1]  # the last element changes fastest
        number = jnp.sum(digits * places.astype(np.int32), axis=-1)
        return jnp.where(tables.is_value(digits, sizes), number, -1)[:, None]

    def _data(self, values: Array) -> Array:
        digits = jnp.unravel_index(values[:, 0], self.num_values)
        return jnp.stack(digits, axis=-1).astype(jnp.float32)


@dataclass(frozen=True)
class NaiveBayes(_Counted):
    """Naive Bayes: independent elements, each with a table of counts and additive smoothing. Train
    for exactly one epoch.

    Attributes:
        num_values: number of values 0, 1, ... of each element of an example.
        smoothing: added to every count; 0 is maximum likelihood.
    """

    num_values: tuple[int, ...]
    smoothing: float = 0.0

    def __post_init__(self):
        self._check(min(self.num_values, default=0))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (len(self.num_values),)

    @property
    def _sizes(self) -> np.ndarray:
        return np.array(self.num_values)


@dataclass(frozen=True)
class PixelNaiveBayes(_Counted):
    """Naive Bayes on images: a table of counts for every channel of every pixel. Train for exactly
    one epoch.

    Attributes:
        shape: (height, width, channels) of an image, or any other shape.
        levels: number of values 0, 1, ... of each element.
        smoothing: added to every count; 0 is maximum likelihood.
    """

    shape: tuple[int, ...]
    levels: int = 256
    smoothing: float = 0.0

    def __post_init__(self):
        self._check(min((self.levels, *self.shape)))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.shape)

    @property
    def _sizes(self) -> np.ndarray:
        return np.full(math.prod(self.shape), self.levels)
