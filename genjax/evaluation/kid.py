"""The kernel distance of Bińkowski et al.: a squared MMD with a cubic kernel."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.chunks import flat, per_row


def kernel_distance(
    a: np.ndarray, b: np.ndarray, *, block: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Estimates the squared MMD with the kernel (x·y / D + 1)³ (KID; Bińkowski et al., 2018).

    Both samples are split at random into blocks, each of which gives an unbiased estimate from
    different rows. Their mean is unbiased too, and 0 in expectation for equal distributions.

    Args:
        a: [N, ...].
        b: [M, ...].
        block: rows of a block; fewer if a sample has less than two blocks.
        seed: of the blocks.

    Returns:
        The mean over the blocks, and its standard error.

    Raises:
        UserError: fewer than four rows in a sample.
    """
    size = min(block, len(a) // 2, len(b) // 2)
    if size < 2:
        raise UserError(f'KID needs at least 4 rows of each sample, not {len(a)} and {len(b)}')
    random = np.random.default_rng(seed)
    num = min(len(a), len(b)) // size
    blocks = [
        flat(x)[random.permutation(len(x))[: num * size]].reshape(num, size, -1) for x in (a, b)
    ]
    estimates = np.array([_estimate(x, y) for x, y in zip(*blocks, strict=True)])
    return float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(num))


def _estimate(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate from x and y, both [B, D] (Gretton et al., 2012, eq. 3)."""
    size = len(x)
    within_x, across, own_x = per_row(_kernel_sums, x, x, y)
    within_y, _, own_y = per_row(_kernel_sums, y, y, x)
    within = (within_x - own_x).sum() + (within_y - own_y).sum()
    return float(within / (size * (size - 1)) - 2 * across.sum() / size**2)


def _kernel_sums(rows: Array, same: Array, other: Array) -> tuple[tuple[Array, ...], None]:
    """Sums of the kernel over the rows of both samples, and the kernel with itself, each [C]."""

    def kernel(products: Array) -> Array:
        return (products / rows.shape[1] + 1.0) ** 3

    within, across = (
        jnp.sum(kernel(jnp.matmul(rows, x.T, precision='highest')), axis=1) for x in (same, other)
    )
    return (within, across, kernel(jnp.sum(rows**2, axis=1))), None
