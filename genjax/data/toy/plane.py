"""Data set of points in the plane with known density, drawn on first use."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jax import Array

from genjax.data.sources import InMemorySource
from genjax.data.splits import SPLITS
from genjax.data.toy.densities import DENSITIES, PlaneDensity
from genjax.errors import UserError, nearest


@dataclass(frozen=True)
class Density:
    """Points [2] from a distribution with exactly known log-density; labels are its parts.

    `'eight_gaussians'`, `'checkerboard'` or `'rings'` (`genjax.data.toy.densities`). The points are
    drawn in memory with fixed seeds; the training set is too large for an ordinary model to
    memorise.

    Attributes:
        name: name of the distribution.
        train_size: training points; validation and test have 10,000 each.
    """

    name: str
    train_size: int = 1_000_000

    event_shape: ClassVar[tuple[int, ...]] = (2,)

    def __post_init__(self):
        if self.name not in DENSITIES:
            guess = nearest(self.name, DENSITIES)
            raise UserError(f'there is no density {self.name!r}{guess}; there are {[*DENSITIES]}')

    @property
    def _density(self) -> PlaneDensity:
        return DENSITIES[self.name]

    @property
    def num_classes(self) -> int:
        """The number of parts of the distribution."""
        return self._density.num_parts

    def log_prob(self, x: Array) -> Array:
        """Returns the exact log-density in nats of the points `x` [B, 2], as float32 [B]."""
        return self._density.log_prob(x)

    def source(self, split: str) -> InMemorySource:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        return _draw(self.name, split, self.train_size if split == 'train' else 10_000)


@functools.lru_cache(maxsize=8)
def _draw(name: str, split: str, size: int) -> InMemorySource:
    # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
    random = np.random.RandomState(SPLITS.index(split))
    points, labels = DENSITIES[name].draw(random, size)
    return InMemorySource({'x': points.astype(np.float32), 'label': labels.astype(np.int32)})
