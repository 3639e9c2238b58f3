"""Points in the plane whose distribution, given a context, is known."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.sources import InMemorySource
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest

_MATRIX = np.array([[1.0, 0.5], [-0.5, 0.8]])
_COVARIANCE = np.array([[0.36, 0.18], [0.18, 0.25]])


@dataclass(frozen=True)
class ConditionalGaussian:
    """Points x [2] and contexts c [2], x ~ N(A c, S) and c ~ N(0, I), drawn in memory with fixed
    seeds.

    Attributes:
        train_size: training points; validation and test have 10,000 each.
        shuffled: pair each x with the context of another, so that contexts tell nothing of x.
    """

    train_size: int = 100_000
    shuffled: bool = False

    event_shape: ClassVar[tuple[int, ...]] = (2,)
    context_shape: ClassVar[tuple[int, ...]] = (2,)
    num_classes: ClassVar[None] = None

    def log_prob(self, x: Array, context: Array) -> Array:
        """Returns the exact log p(x | context) in nats of x [B, 2], contexts [B, 2], as float32
        [B].
        """
        mean, covariance = jnp.zeros_like(x), _COVARIANCE + _MATRIX @ _MATRIX.T
        if not self.shuffled:
            mean = jnp.matmul(context, _MATRIX.T, precision='highest')
            covariance = _COVARIANCE
        whiten = np.linalg.inv(np.linalg.cholesky(covariance))
        z = jnp.matmul(x - mean, whiten.T, precision='highest')
        constant = np.log(2 * np.pi) - np.log(np.diag(whiten)).sum()
        return (-0.5 * jnp.sum(z**2, axis=-1) - constant).astype(jnp.float32)

    @property
    def entropy(self) -> float:
        """H(x | c) in nats, without shuffling."""
        return float(1 + np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(_COVARIANCE)[1])

    @property
    def information(self) -> float:
        """The mutual information of x and c in nats, without shuffling."""
        marginal = np.linalg.slogdet(_COVARIANCE + _MATRIX @ _MATRIX.T)[1]
        return float(0.5 * (marginal - np.linalg.slogdet(_COVARIANCE)[1]))

    def source(self, split: str) -> InMemorySource:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        return _draw(split, self.train_size if split == 'train' else 10_000, self.shuffled)


@functools.lru_cache(maxsize=8)
def _draw(split: str, size: int, shuffled: bool) -> InMemorySource:
    # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
    random = np.random.RandomState(100 + SPLITS.index(split))
    context, noise = random.standard_normal((2, size, 2))
    x = context @ _MATRIX.T + noise @ np.linalg.cholesky(_COVARIANCE).T
    context = np.roll(context, 1, axis=0) if shuffled else context
    return InMemorySource({'x': x.astype(np.float32), 'context': context.astype(np.float32)})
