"""Precision, recall, density and coverage: samples and data by each other's nearest neighbours."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.chunks import flat, in_chunks, per_row, squared_distances, squared_norms


class PRDC(NamedTuple):
    """Fidelity and diversity of samples.

    Attributes:
        precision: share of samples inside a ball around an example (Kynkäänniemi et al., 2019).
        recall: share of examples inside a ball around a sample.
        density: mean number of balls of examples around a sample, divided by k (Naeem et al.,
            2020); 1 in expectation for equal distributions, and not bounded by it.
        coverage: share of examples whose ball holds a sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: np.ndarray, fake: np.ndarray, *, k: int = 5, chunk: int | None = None) -> PRDC:
    """Computes precision, recall, density and coverage.

    The ball around a point reaches to its k-th nearest neighbour in its own sample, and is open, as
    in the authors' package `prdc`.

    Args:
        real: examples [N, ...], N > k.
        fake: samples [M, ...], M > k.
        k: neighbours.
        chunk: rows at a time (`in_chunks`); limits memory to chunk x max(N, M) distances.

    Raises:
        UserError: a sample has too few rows, or the samples have different features.
    """
    real, fake = flat(real), flat(fake)
    if k < 1 or min(len(real), len(fake)) <= k:
        raise UserError(f'k={k} neighbours need more rows than {min(len(real), len(fake))}')
    if real.shape[1] != fake.shape[1]:
        raise UserError(f'the samples have {real.shape[1]} and {fake.shape[1]} features')
    centre = real.mean(axis=0, dtype=np.float64)  # smaller numbers, smaller rounding errors
    real, fake = real - centre, fake - centre
    radii, fake_radii = (neighbour_distances(x, k, chunk) for x in (real, fake))
    counts, recalled = [], np.zeros(len(real), bool)
    nearest = np.full(len(real), np.inf)
    for count, (inside, distance) in in_chunks(
        _balls, np.column_stack([fake, fake_radii]), real, squared_norms(real), radii, chunk=chunk
    ):
        counts.append(count)
        recalled |= inside
        nearest = np.minimum(nearest, distance)
    counts = np.concatenate(counts)
    return PRDC(
        precision=float(np.mean(counts > 0)),
        recall=float(np.mean(recalled)),
        density=float(np.mean(counts) / k),
        coverage=float(np.mean(nearest < radii)),
    )


def neighbour_distances(x: np.ndarray, k: int, chunk: int | None = None) -> np.ndarray:
    """Squared distance from each row of x [N, D] to its k-th nearest other row, [N]."""
    return per_row(_kth_nearest(k), x, x, squared_norms(x), chunk=chunk)


@functools.cache
def _kth_nearest(k: int):
    def kth(rows: Array, x: Array, norms: Array) -> tuple[Array, None]:
        """The k-th neighbour comes after the row itself, whose distance is 0."""
        distances = squared_distances(rows, x, norms)

        def next_larger(_, state: tuple[Array, Array]) -> tuple[Array, Array]:
            """The next value, and how many distances do not exceed it; or as it was beyond k."""
            value, rank = state
            larger = jnp.min(distances, axis=1, initial=jnp.inf, where=distances > value[:, None])
            ties = jnp.sum(distances == larger[:, None], axis=1)
            return jnp.where(rank > k, value, larger), jnp.where(rank > k, rank, rank + ties)

        # XLA sorts whole rows for `top_k` on a CPU. Minima and counts only read the distances.
        start = jnp.full(len(rows), -1.0), jnp.zeros(len(rows), int)
        return jax.lax.fori_loop(0, k + 1, next_larger, start)[0], None

    return kth


def _balls(
    fake: Array, real: Array, norms: Array, radii: Array
) -> tuple[Array, tuple[Array, Array]]:
    """For each fake row the number of balls around it; for each real one whether it is inside one
    of these rows' balls, and the squared distance to the nearest.
    """
    fake, fake_radii = fake[:, :-1], fake[:, -1:]
    distances = squared_distances(fake, real, norms)
    inside = jnp.any(distances < fake_radii, axis=0)
    return jnp.sum(distances < radii, axis=1), (inside, jnp.min(distances, axis=0))
