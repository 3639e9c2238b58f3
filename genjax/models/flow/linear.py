"""Linear bijections of the features (the last dimension): `ActNorm` and `InvertibleLinear`."""

import functools
import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

from genjax.models.flow.bijection import Bijection

_product = functools.partial(jnp.matmul, precision='highest')


class ActNorm(Bijection):
    """z = (x - shift) exp(-log_scale), by feature; `init` sets both from the first batch, to a mean
    of 0 and a variance of 1 (Kingma & Dhariwal, "Glow", 2018).

    A feature with little variation in the first batch is divided by the root mean square of the
    other features' standard deviations instead of its own. A pixel that is empty in that batch is
    not empty in every image: divided by its small noise, it would lie hundreds of standard
    deviations from zero, amplified further by couplings. If no feature varies, all are only
    shifted.

    Initialised through its inverse, as inside `Inverse`, it starts as the identity.

    Attributes:
        least: threshold of little variation: a standard deviation below this fraction of the root
            mean square over features. With 0, for features in different units, constants only.
    """

    least: float = 0.1

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        x = x.astype(jnp.float32)
        others = tuple(range(x.ndim - 1))
        mean, std = jnp.mean(x, axis=others), jnp.std(x, axis=others)
        shift, log_scale = self._params(mean, jnp.log(self._scale(std, mean)))
        return (x - shift) * jnp.exp(-log_scale), _same_for_all(x, -jnp.sum(log_scale))

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        zeros = jnp.zeros(z.shape[-1])
        shift, log_scale = self._params(zeros, zeros)
        return z * jnp.exp(log_scale) + shift, _same_for_all(z, jnp.sum(log_scale))

    def _scale(self, std: Array, mean: Array) -> Array:
        """Computes divisors [D] from standard deviations and means [D] of the first batch."""
        # Treat the float32 rounding errors of a constant as zero.
        std = jnp.where(std > 1e-6 * jnp.abs(mean), std, 0.0)
        varies = (std > 0) & (std >= self.least * jnp.sqrt(jnp.mean(std**2)))
        # Over the varying features only: in a stack the rest are then scaled once, not per layer.
        common = jnp.sqrt(jnp.sum(jnp.where(varies, std, 0.0) ** 2) / jnp.sum(varies))
        return jnp.where(jnp.any(varies), jnp.where(varies, std, common), 1.0)

    @nn.compact
    def _params(self, shift: Array, log_scale: Array) -> tuple[Array, Array]:
        """Returns the parameters; the arguments are their initial values."""
        return (
            self.param('shift', lambda key: shift),
            self.param('log_scale', lambda key: log_scale),
        )


class InvertibleLinear(Bijection):
    """z = x W with an invertible matrix; on images the 1×1 convolution of Glow.

    W = R L U with a fixed random orthogonal matrix R, so that features mix from the start. L is
    unit lower triangular and U upper triangular with a positive diagonal, both initialised as the
    identity: the log-determinant is the sum of U's log-diagonal. (Glow has a permutation P in place
    of R, and fixes the signs of the diagonal too.)

    Attributes:
        seed: of R, a constant of the program: shared by the layers of a `Repeat`.
    """

    seed: int = 0

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        rotation, lower, upper, log_det = self._factors(x.shape[-1])
        z = _product(x.astype(jnp.float32), _product(_product(rotation, lower), upper))
        return z, _same_for_all(x, log_det)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        rotation, lower, upper, log_det = self._factors(z.shape[-1])
        inverse = solve_triangular(lower, rotation.T, lower=True, unit_diagonal=True)
        inverse = solve_triangular(upper, inverse)
        return _product(z.astype(jnp.float32), inverse), _same_for_all(z, -log_det)

    @nn.compact
    def _factors(self, size: int) -> tuple[Array, Array, Array, Array]:
        """R, L, U [size, size], and log |det W|."""
        zeros = nn.initializers.zeros
        lower = self.param('lower', zeros, (size, size))
        upper = self.param('upper', zeros, (size, size))
        log_diagonal = self.param('log_diagonal', zeros, (size,))
        normal = np.random.RandomState(self.seed).standard_normal((size, size))
        rotation = jnp.asarray(np.linalg.qr(normal)[0], jnp.float32)
        return (
            rotation,
            jnp.tril(lower, -1) + jnp.eye(size),
            jnp.triu(upper, 1) + jnp.diag(jnp.exp(log_diagonal)),
            jnp.sum(log_diagonal),
        )


def _same_for_all(x: Array, log_det: Array) -> Array:
    """Log-determinant [B] of a map applied at every position, with `log_det` at each."""
    return jnp.full(x.shape[0], math.prod(x.shape[1:-1]) * log_det, jnp.float32)
