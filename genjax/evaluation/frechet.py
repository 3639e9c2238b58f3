"""The Fréchet distance between Gaussians fitted to two samples."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from genjax.errors import UserError


class Gaussian(NamedTuple):
    """Streaming moments of rows: their number, mean, and a factor of their scatter.

    The factor R [min(N, D), D] is triangular, with Rᵀ R = Σ (x - mean)(x - mean)ᵀ. It comes from
    the QR decomposition of the rows, or, where the scatter is far from singular, from its Cholesky
    decomposition, which then loses no digits and takes a tenth of the time.

    Attributes:
        count: number of rows.
        mean: float64 [D].
        factor: float64 [F, D].
    """

    count: int
    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> 'Gaussian':
        """Returns the moments of x [N, ...]."""
        x = np.asarray(x, np.float64).reshape(len(x), -1)
        mean = x.mean(axis=0)
        return cls(len(x), mean, _triangular(x - mean))

    def __add__(self, other: 'Gaussian') -> 'Gaussian':
        """Returns the moments of both sets of rows together."""
        count = self.count + other.count
        gap = other.mean - self.mean
        between = np.sqrt(self.count * other.count / count) * gap
        rows = np.concatenate([self.factor, other.factor, between[None]])
        return Gaussian(count, self.mean + gap * (other.count / count), _triangular(rows))


_SINGULAR = 1e-6  # reciprocal condition of a scatter below which its factor comes from the rows


def _triangular(rows: np.ndarray) -> np.ndarray:
    """Returns R with Rᵀ R = rowsᵀ rows, triangular."""
    if len(rows) > rows.shape[1]:
        scatter = rows.T @ rows
        factor, failed = lapack.dpotrf(scatter)
        norm = np.abs(scatter).sum(axis=0).max()
        if not failed and lapack.dpocon(factor, norm)[0] > _SINGULAR:
            return factor
    return np.linalg.qr(rows, mode='r')


def frechet_distance(a: np.ndarray | Gaussian, b: np.ndarray | Gaussian) -> float:
    """Computes the squared 2-Wasserstein distance between Gaussians with the means and covariances
    of two samples (Fréchet, 1957; Heusel et al., 2017, eq. 6):
    ‖μ_a - μ_b‖² + tr(Σ_a) + tr(Σ_b) - 2 tr((Σ_a Σ_b)^½).

    The last trace is the sum of the singular values of A Bᵀ, where Aᵀ A = Σ_a and Bᵀ B = Σ_b. So no
    square root of a matrix is taken, and singular covariances (N < D) need no care.

    Args:
        a: [N, ...], N > 1, or its moments.
        b: [M, ...], M > 1, or its moments.

    Raises:
        UserError: fewer than two rows, or rows of different sizes.
    """
    a, b = (each if isinstance(each, Gaussian) else Gaussian.of(each) for each in (a, b))
    if min(a.count, b.count) < 2:
        raise UserError('the Fréchet distance needs at least two rows of each sample')
    if len(a.mean) != len(b.mean):
        raise UserError(f'the samples have {len(a.mean)} and {len(b.mean)} features')
    factors = [each.factor / np.sqrt(each.count - 1) for each in (a, b)]
    cross = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False)
    traces = sum(float(np.sum(factor**2)) for factor in factors)
    return float(np.sum((a.mean - b.mean) ** 2)) + traces - 2 * float(np.sum(cross))


def frechet_extrapolated(
    a: np.ndarray, b: np.ndarray, *, sizes: int = 15, seed: int = 0
) -> tuple[float, float]:
    """Extrapolates the Fréchet distance to infinitely many samples: FD∞ (Chong & Forsyth, 2020).

    The bias of the distance is linear in 1/N to first order. Distances of random subsets of b are
    fitted by a line in 1/N, whose intercept is the result.

    Args:
        a: reference [N, ...].
        b: samples [M, ...].
        sizes: number of subsets, of sizes evenly spaced from a tenth of M (at least the number of
            features + 2 where M allows) to M.
        seed: of the subsets.

    Returns:
        The intercept, and its standard error from the residuals of the fit.

    Raises:
        UserError: fewer than 20 samples, or fewer than 3 sizes.
    """
    if len(b) < 20 or sizes < 3:
        raise UserError(f'FD∞ needs 20 samples and 3 sizes, not {len(b)} and {sizes}')
    reference, b = Gaussian.of(a), np.asarray(b, np.float64).reshape(len(b), -1)
    smallest = max(len(b) // 10, min(b.shape[1] + 2, len(b) // 2))
    random = np.random.default_rng(seed)
    counts = np.linspace(smallest, len(b), sizes).astype(int)
    distances = [
        frechet_distance(reference, b[random.choice(len(b), count, replace=False)])
        for count in counts
    ]
    design = np.stack([np.ones(sizes), 1 / counts], axis=1)
    fit, *_ = np.linalg.lstsq(design, np.array(distances), rcond=None)
    residual = np.sum((design @ fit - distances) ** 2) / (sizes - 2)
    variance = residual * np.linalg.inv(design.T @ design)[0, 0]
    return float(fit[0]), float(np.sqrt(variance))


def frechet_jackknife(
    a: np.ndarray, b: np.ndarray, *, blocks: int = 10, seed: int = 0
) -> tuple[float, float]:
    """Computes the Fréchet distance and its standard error by the delete-a-block jackknife over
    both samples (Efron & Stein, 1981).

    Args:
        a: [N, ...].
        b: [M, ...].
        blocks: random blocks of each sample; each is left out once.
        seed: of the blocks.
    """
    random = np.random.default_rng(seed)
    parts = []
    for x in (a, b):
        x = np.asarray(x, np.float64).reshape(len(x), -1)[random.permutation(len(x))]
        if len(x) < 2 * blocks:
            raise UserError(f'{len(x)} rows are too few for {blocks} blocks')
        parts.append([Gaussian.of(part) for part in np.array_split(x, blocks)])
    whole = [_sum(part) for part in parts]
    variance = 0.0
    for side in (0, 1):
        left_out = []
        for out in range(blocks):
            pair = list(whole)
            pair[side] = _sum([p for i, p in enumerate(parts[side]) if i != out])
            left_out.append(frechet_distance(*pair))
        variance += (blocks - 1) * float(np.var(left_out))
    return frechet_distance(*whole), float(np.sqrt(variance))


def _sum(parts: list[Gaussian]) -> Gaussian:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
