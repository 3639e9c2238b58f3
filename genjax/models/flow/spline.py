"""Monotone rational-quadratic splines (Gregory & Delbourgo, 1982; Durkan et al., "Neural spline
flows", 2019) on an interval, and the identity outside it.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError

_MIN_SHARE = 1e-3  # minimum width and height of a bin, as a fraction of the interval
_MIN_SLOPE = 1e-3  # at a knot
_UNIT = math.log(math.expm1(1 - _MIN_SLOPE))  # softplus(_UNIT) + _MIN_SLOPE = 1


@dataclass(frozen=True)
class Spline:
    """Monotone rational-quadratic spline of `bins` pieces on [-bound, bound], with linear tails.

    Attributes:
        bins: pieces; 3 * bins - 1 parameters per element: widths, heights, inner slopes.
        bound: the spline is the identity outside [-bound, bound].
    """

    bins: int = 8
    bound: float = 3.0

    def __post_init__(self):
        if not 1 <= self.bins < 1 / _MIN_SHARE:
            raise UserError(f'Spline.bins must be at least 1 and below 1000, not {self.bins}')
        if isinstance(self.bound, int | float) and self.bound <= 0:
            raise UserError(f'Spline.bound must be positive, not {self.bound}')

    @property
    def width(self) -> int:
        """Widths, heights, and slopes at the inner knots."""
        return 3 * self.bins - 1

    def forward(self, params: Array, x: Array) -> tuple[Array, Array]:
        """Returns y and log dy/dx."""
        clipped = jnp.clip(x, -self.bound, self.bound)
        (x0, y0), (width, height), (slope0, slope1) = self._piece(params, clipped, axis=0)
        # Position in the piece, 0..1, clipped against rounding.
        at = jnp.clip((clipped - x0) / width, 0.0, 1.0)
        mean_slope = height / width
        between = at * (1 - at)
        bottom = mean_slope + (slope0 + slope1 - 2 * mean_slope) * between
        y = y0 + height * (mean_slope * at**2 + slope0 * between) / bottom
        inside = jnp.abs(x) <= self.bound
        log_slope = _log_slope(at, mean_slope, slope0, slope1)
        return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)

    def inverse(self, params: Array, y: Array) -> tuple[Array, Array]:
        """Returns x and log dx/dy."""
        clipped = jnp.clip(y, -self.bound, self.bound)
        (x0, y0), (width, height), (slope0, slope1) = self._piece(params, clipped, axis=1)
        mean_slope = height / width
        rise = clipped - y0
        # The root in 0..1 of a q² + b q + c, in the form that does not cancel.
        curve = rise * (slope0 + slope1 - 2 * mean_slope)
        a = height * (mean_slope - slope0) + curve
        b = height * slope0 - curve
        c = -mean_slope * rise
        root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0))
        at = jnp.clip(2 * c / (-b - root), 0.0, 1.0)
        inside = jnp.abs(y) <= self.bound
        log_slope = _log_slope(at, mean_slope, slope0, slope1)
        return jnp.where(inside, x0 + width * at, y), jnp.where(inside, -log_slope, 0.0)

    def _piece(self, params: Array, value: Array, axis: int) -> tuple[tuple[Array, Array], ...]:
        """Finds the piece that contains `value` along x (axis 0) or y (axis 1).

        Returns:
            Its lower corner (x, y), its (width, height), and the slopes at both ends, each [...].
        """
        # Elements in the last dimension and bins in the first: on a CPU, sums over a last
        # dimension of a few bins take several times as long.
        shape, value = value.shape, value.reshape(-1)
        params = params.astype(jnp.float32).reshape(-1, self.width).T
        sizes = [self._sizes(params[i * self.bins : (i + 1) * self.bins]) for i in (0, 1)]
        slopes = _MIN_SLOPE + jax.nn.softplus(params[2 * self.bins :] + _UNIT)
        one = jnp.ones((1, *value.shape))
        # Comparing with every inner knot costs less than a search and a gather. The gradient goes
        # through the sizes that are summed below, not through the comparison.
        knots = jnp.cumsum(jax.lax.stop_gradient(sizes[axis]), axis=0)[:-1] - self.bound
        passed = jnp.concatenate([(value >= knots).astype(jnp.float32), 0 * one])
        here = jnp.concatenate([one, passed[:-1]]) - passed

        def total(weight: Array, a: Array) -> Array:
            return jnp.sum(weight * a, axis=0).reshape(shape)

        x0, y0 = (total(passed, size) - self.bound for size in sizes)
        width, height = (total(here, size) for size in sizes)
        slope0 = total(here, jnp.concatenate([one, slopes]))
        slope1 = total(here, jnp.concatenate([slopes, one]))
        return (x0, y0), (width, height), (slope0, slope1)

    def _sizes(self, params: Array) -> Array:
        """Widths or heights of all pieces [bins, ...], which add up to 2 * bound."""
        share = _MIN_SHARE + (1 - _MIN_SHARE * self.bins) * jax.nn.softmax(params, axis=0)
        return 2 * self.bound * share


def _log_slope(at: Array, mean_slope: Array, slope0: Array, slope1: Array) -> Array:
    """Computes log dy/dx at the position `at` (0..1) of a piece."""
    between = at * (1 - at)
    top = slope1 * at**2 + 2 * mean_slope * between + slope0 * (1 - at) ** 2
    bottom = mean_slope + (slope0 + slope1 - 2 * mean_slope) * between
    return 2 * jnp.log(mean_slope) + jnp.log(top) - 2 * jnp.log(bottom)
