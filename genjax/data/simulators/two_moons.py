"""Two moons: a posterior of two crescents."""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.simulators.base import box_log_prob, box_sample
from genjax.errors import UserError

_CENTRE, _RADIUS, _WIDTH = 0.25, 0.1, 0.01
_TURN = np.array([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2)  # θ to (u, v)
_MOST_TRIES = 10_000


@dataclass(frozen=True)
class TwoMoons:
    """θ uniform on [-1, 1]², and x = p + (-|u|, v) with u = (θ₁ + θ₂)/√2, v = (θ₂ - θ₁)/√2.

    p lies on a crescent: p = (r cos a + .25, r sin a), a uniform on (-π/2, π/2), r ~ N(.1, .01²)
    (Greenberg et al., 2019; Lueckmann et al., 2021, T.8). As u and -u give the same x, the
    posterior has two modes. Its density is exact up to an integral over r, by quadrature.
    """

    num_parameters: ClassVar[int] = 2
    observation_shape: ClassVar[tuple[int, ...]] = (2,)

    def prior_sample(self, key: Array, num: int) -> Array:
        return box_sample(key, num, 2, 1.0)

    def prior_log_prob(self, theta: Array) -> Array:
        return box_log_prob(theta, 1.0)

    def simulate(self, key: Array, theta: Array) -> Array:
        u, v = _turned(theta)
        return _crescent(key, len(theta)) + jnp.stack([-jnp.abs(u), v], axis=-1)

    def log_likelihood(self, theta: Array, x: Array) -> Array:
        u, v = _turned(theta)
        right, up = x[..., 0] + jnp.abs(u) - _CENTRE, x[..., 1] - v
        r = jnp.sqrt(right**2 + up**2)
        normal = -0.5 * ((r - _RADIUS) / _WIDTH) ** 2 - math.log(_WIDTH * math.sqrt(2 * math.pi))
        # In the plane: the density of r over the length π r of its half circle.
        return jnp.where(right > 0, normal - jnp.log(math.pi * r), -jnp.inf)

    def posterior_log_prob(self, theta: Array, x: Array) -> Array:
        inside = jnp.isfinite(self.prior_log_prob(theta))
        # Each p comes from two θ, and the map between them keeps areas.
        log_mass = jnp.log(2 * _share_inside(x))
        return jnp.where(inside, self.log_likelihood(theta, x) - log_mass, -jnp.inf)

    def posterior_sample(self, key: Array, x: Array, num: int) -> Array:
        """Draws by rejection of crescents that no θ explains.

        Raises:
            UserError: hardly any θ of the prior gives this x.
        """
        theta, found = _posterior(key, jnp.asarray(x, jnp.float32), num)
        if not jnp.all(found):
            raise UserError(f'TwoMoons: hardly any θ of the prior gives x={np.asarray(x).tolist()}')
        return theta


def _turned(theta: Array) -> tuple[Array, Array]:
    u, v = jnp.moveaxis(jnp.matmul(theta, _TURN.T, precision='highest'), -1, 0)
    return u, v


def _crescent(key: Array, num: int) -> Array:
    angle_key, radius_key = jax.random.split(key)
    angle = jax.random.uniform(angle_key, (num,), minval=-math.pi / 2, maxval=math.pi / 2)
    radius = _RADIUS + _WIDTH * jax.random.normal(radius_key, (num,))
    return jnp.stack([radius * jnp.cos(angle) + _CENTRE, radius * jnp.sin(angle)], axis=-1)


@functools.partial(jax.jit, static_argnums=2)
def _posterior(key: Array, x: Array, num: int) -> tuple[Array, Array]:
    """Samples [num, 2], and whether each was found."""

    def draw(key: Array) -> tuple[Array, Array]:
        sign_key, key = jax.random.split(key)
        (right, up) = _crescent(key, 1)[0]
        u, v = right - x[0], x[1] - up
        sign = jax.random.rademacher(sign_key, (), jnp.float32)
        theta = jnp.matmul(jnp.stack([sign * u, v]), _TURN, precision='highest')
        return theta, (u >= 0) & jnp.all(jnp.abs(theta) <= 1)

    def one(key: Array) -> tuple[Array, Array]:
        def again(carry: tuple) -> tuple:
            tries, _, _ = carry
            return (tries + 1, *draw(jax.random.fold_in(key, tries)))

        wanted = lambda carry: ~carry[2] & (carry[0] < _MOST_TRIES)  # noqa: E731
        start = (jnp.zeros((), jnp.uint32), jnp.zeros(2), jnp.zeros((), bool))
        return jax.lax.while_loop(wanted, again, start)[1:]

    return jax.vmap(one)(jax.random.split(key, num))


def _share_inside(x: Array) -> Array:
    """The probability [B] that a crescent p is of a θ inside the bounds, for x [B, 2].

    With |u| = p₁ - x₁ and v = x₂ - p₂ these bounds are |u| ≥ 0 and |u| + |v| ≤ √2. For a radius r
    each is an arc: r cos a ≥ c₀, and all but √2 r cos(a ± π/4) > c.
    """
    # Quantiles of r in the middle of 64 equal parts.
    z = jax.scipy.special.ndtri((np.arange(64) + 0.5) / 64)
    r = _RADIUS + _WIDTH * z
    x1, x2 = x[..., 0, None], x[..., 1, None]

    def half_arc(cosine: Array) -> Array:
        return jnp.arccos(jnp.clip(cosine, -1, 1))

    reach = jnp.minimum(half_arc((x1 - _CENTRE) / r), math.pi / 2)
    arcs = []
    for centre, side in ((-math.pi / 4, -x2), (math.pi / 4, x2)):
        half = half_arc((math.sqrt(2) - _CENTRE + x1 + side) / (math.sqrt(2) * r))
        arcs.append((jnp.maximum(centre - half, -reach), jnp.minimum(centre + half, reach)))
    (low, high), (low2, high2) = arcs
    length = lambda low, high: jnp.maximum(high - low, 0)  # noqa: E731
    both = length(jnp.maximum(low, low2), jnp.minimum(high, high2))
    outside = length(low, high) + length(low2, high2) - both
    return jnp.mean((2 * reach - outside) / math.pi, axis=-1)
