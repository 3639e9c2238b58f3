"""ODE solver for dx/dt = v(x, t) with the change of log-density; needs diffrax."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError, how_to_install
from genjax.networks.attention import unfused

Velocity = Callable[..., Array]
"""`(x [B, *event], time [], *rows) -> dx/dt [B, *event]`, independent across examples; `rows` are
further arrays [B, ...], such as conditions."""

_MAX_STEPS = 1000  # of the solver per example; a velocity that needs more is not sensible


def directions(divergence: Literal['exact', 'hutchinson'], x: Array, key: Array) -> Array:
    """Returns vectors e [K, B, *event] such that the sum of e · J e equals the trace of a Jacobian
    J (the unit vectors), or does so in expectation (one vector of random signs per example).
    """
    if divergence == 'hutchinson':
        return jax.random.rademacher(key, (1, *x.shape), jnp.float32)
    dimensions = math.prod(x.shape[1:])
    unit = jnp.eye(dimensions).reshape(-1, 1, *x.shape[1:])
    return jnp.broadcast_to(unit, (dimensions, *x.shape))


def velocity_and_jacobian(
    velocity: Velocity,
    x: Array,
    time: Array,
    directions: Array | None,
    rows: tuple[Array, ...] = (),
) -> tuple[Array, Array, Array]:
    """Computes v(x, t), and the trace and squared Frobenius norm of J = ∂v/∂x, both [B].

    Args:
        velocity: v.
        x: [B, *event].
        time: [].
        directions: e [K, B, *event]; the trace is computed as the sum of e · J e, the squared norm
            as that of |J e|². None: returns zeros for both.
        rows: further arguments of v.
    """
    if directions is None:
        return velocity(x, time, *rows), jnp.zeros(len(x)), jnp.zeros(len(x))
    with unfused():
        value, push = jax.linearize(lambda x: velocity(x, time, *rows), x)
    pushed = jax.vmap(push)(directions)
    axes = (0, *range(2, pushed.ndim))
    return value, jnp.sum(directions * pushed, axis=axes), jnp.sum(pushed**2, axis=axes)


def solve(
    velocity: Velocity,
    x: Array,
    start: float,
    end: float,
    tolerance: float,
    directions: Array | None = None,
    rows: tuple[Array, ...] = (),
) -> tuple[Array, Array]:
    """Integrates x [B, *event] from time `start` to `end`. Returns the solution and the integral of
    the divergence [B] (0 without `directions`); NaN for an example that needs too many steps.

    Uses Tsitouras' 5th-order method with adaptive steps per example, to a relative and absolute
    `tolerance`; `rows` are further arguments of the velocity.
    """
    diffrax = import_diffrax()

    def rate(time, state, args):
        return velocity_and_jacobian(velocity, state[0], time, *args)[:2]

    def solve_one(x, directions, rows):
        # Adapt the steps per example: common steps would couple the examples.
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rate), diffrax.Tsit5(), start, end, dt0=None,
            y0=(x[None], jnp.zeros(1)),
            args=(
                None if directions is None else directions[:, None],
                tuple(row[None] for row in rows),
            ),
            stepsize_controller=diffrax.PIDController(tolerance, tolerance),
            max_steps=_MAX_STEPS, throw=False,
        )  # fmt: skip
        # Mark unsolved examples as NaN.
        solved = solution.result == diffrax.RESULTS.successful
        return jax.tree.map(lambda a: jnp.where(solved, a[-1, 0], jnp.nan), solution.ys)

    in_axes = (0, None if directions is None else 1, 0)
    return jax.vmap(solve_one, in_axes)(x.astype(jnp.float32), directions, rows)


def import_diffrax():
    """Imports diffrax lazily: it is an optional dependency and takes a second to import.

    Raises:
        UserError: diffrax is not installed.
    """
    try:
        import diffrax
    except ImportError:
        raise UserError(f'differential equations need diffrax: {how_to_install("ode")}') from None
    return diffrax
