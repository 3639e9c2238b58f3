"""Models of categorical data that are counts: the joint table, and naive Bayes.

Their only phase, 'count', adds each batch to the state and trains nothing, so that any optimizer
will do. One epoch is all there is to learn: `steps` times `batch_size` should be the number of
examples. A second epoch counts everything twice, as if `smoothing` were half of what it is.

The loss of an example is its code length given the batches before its own, with a `smoothing` of 1
where it is 0, so that it is finite.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.tabular import counts as tables

_MAX_CELLS = 2**27  # of a table: half a gigabyte


class _Counted:
    """What the models of this file share; each says which variables it counts."""

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
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        raise NotImplementedError

    @property
    def data_values(self) -> Values:
        """Whole numbers up to what any element of an example takes."""
        return Values(type(self).__name__, 0, self._largest, whole=True)

    @property
    def _largest(self) -> int:
        return int(self._sizes.max()) - 1

    @property
    def _sizes(self) -> np.ndarray:
        """How many values each counted variable takes, [D]."""
        raise NotImplementedError

    def _values(self, x: Array) -> Array:
        """The counted variables int32 [B, D] of x [B, *event]; -1 for what is none."""
        return x.reshape(len(x), -1).astype(jnp.int32)

    def _data(self, values: Array) -> Array:
        """The inverse of `_values`, float32."""
        return values.reshape(len(values), *self.event_shape).astype(jnp.float32)

    @property
    def num_free_parameters(self) -> int:
        """How many numbers determine the distribution."""
        return int(np.sum(self._sizes - 1))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One turn, which counts."""
        return (Phase('count', ('counts',), self._loss, merge=_added),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Counts of zero; there are no parameters."""
        del key, batch
        zeros = jnp.zeros((len(self._sizes), int(self._sizes.max())))
        return {'params': {'counts': {}}, 'state': {'counts': zeros}}

    def sample(
        self, variables: Variables, key: Array, num: int, *, label: Array | None = None
    ) -> Array:
        """Draws [num, *event], whole numbers as float32. Raises a UserError when given a label."""
        if label is not None:
            raise UserError(f'a {type(self).__name__} learns no labels: sample without one')
        masses = tables.masses(variables['state']['counts'], self._sizes, self.smoothing)
        return self._data(tables.sample(masses, key, num))

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Exact log-probability [B] of whole numbers x [B, *event]; `key` is not used.

        It is -inf for what has never been counted if `smoothing` is 0, and for what is no value.
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
    """The counts of all micro-batches."""
    del weights
    return jax.tree.map(lambda old, new: old + jnp.sum(new - old, axis=0), before, states)


@dataclass(frozen=True)
class JointTable(_Counted):
    """A count for every combination of values, with additive smoothing: (n + α) / (N + α K).

    α = 0 is maximum likelihood, which gives nothing to what it has not seen; α = 1 is Laplace's
    rule of succession. Train it for one epoch, no more.

    Attributes:
        num_values: how many values 0, 1, ... each element of an example takes.
        smoothing: α, what is added to every count.
    """

    num_values: tuple[int, ...]
    smoothing: float = 0.0

    def __post_init__(self):
        self._check(min(self.num_values, default=0))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
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
    """A table of counts for each element, all independent, with additive smoothing. Train it for
    one epoch.

    Attributes:
        num_values: how many values 0, 1, ... each element of an example takes.
        smoothing: what is added to every count; 0 is maximum likelihood.
    """

    num_values: tuple[int, ...]
    smoothing: float = 0.0

    def __post_init__(self):
        self._check(min(self.num_values, default=0))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return (len(self.num_values),)

    @property
    def _sizes(self) -> np.ndarray:
        return np.array(self.num_values)


@dataclass(frozen=True)
class PixelNaiveBayes(_Counted):
    """Naive Bayes on images: a table of counts for every channel of every pixel. Train it
    for one epoch.

    Attributes:
        shape: (height, width, channels) of an image; any other shape will do too.
        levels: how many values 0, 1, ... each of its numbers takes.
        smoothing: what is added to every count; 0 is maximum likelihood.
    """

    shape: tuple[int, ...]
    levels: int = 256
    smoothing: float = 0.0

    def __post_init__(self):
        self._check(min((self.levels, *self.shape)))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.shape)

    @property
    def _sizes(self) -> np.ndarray:
        return np.full(math.prod(self.shape), self.levels)
