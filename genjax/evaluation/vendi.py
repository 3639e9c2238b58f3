"""The Vendi score: the effective number of different samples."""

import numpy as np

from genjax.errors import UserError
from genjax.evaluation.chunks import flat


def vendi_score(x: np.ndarray) -> float:
    """Computes the exponential of the entropy of the eigenvalues of K / N (Friedman & Dieng, 2023)
    for the cosine kernel K_ij = x_i·x_j / ‖x_i‖‖x_j‖.

    It is 1 if all rows have one direction, and N if they are orthogonal. The eigenvalues are the
    squared singular values of the normalised rows, so that no N x N matrix is built.

    Args:
        x: [N, ...].

    Raises:
        UserError: a row of zeros has no direction.
    """
    rows = flat(x).astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    if not length.all():
        raise UserError(f'row {int(np.argmin(length))} is zero: it has no direction')
    factor = rows / length
    if len(factor) > factor.shape[1]:
        factor = np.linalg.qr(factor, mode='r')
    shares = np.linalg.svd(factor, compute_uv=False) ** 2 / len(rows)
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))
