"""Densities that flow along dx/dt = v(x, t), and the solver that follows them; needs diffrax."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError, how_to_install

Velocity = Callable[[Array, Array], Array]
"""`(x [B, *event], time []) -> dx/dt [B, *event]`, each example on its own."""

_MAX_STEPS = 1000  # of the solver for one example; what needs more has no sensible velocity


def directions(divergence: Literal['exact', 'hutchinson'], x: Array, key: Array) -> Array:
    """Vectors e [K, B, *event] for which the sum of e · J e is the trace of a Jacobian J, or has it
    as its mean: the unit vectors, or one vector of random signs for each example.
    """
    if divergence == 'hutchinson':
        return jax.random.rademacher(key, (1, *x.shape), jnp.float32)
    dimensions = math.prod(x.shape[1:])
    unit = jnp.eye(dimensions).reshape(-1, 1, *x.shape[1:])
    return jnp.broadcast_to(unit, (dimensions, *x.shape))


def velocity_and_jacobian(
    velocity: Velocity, x: Array, time: Array, directions: Array | None
) -> tuple[Array, Array, Array]:
    """v(x, t), and of J = ∂v/∂x the trace and the squared Frobenius norm, both [B].

    Args:
        velocity: v.
        x: [B, *event].
        time: [].
        directions: e [K, B, *event]; the sums of e · J e and of |J e|² stand for the trace and the
            norm. None: zeros come instead of both.
    """
    if directions is None:
        return velocity(x, time), jnp.zeros(len(x)), jnp.zeros(len(x))
    value, push = jax.linearize(lambda x: velocity(x, time), x)
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
) -> tuple[Array, Array]:
    """Where x [B, *event] flows from time `start` to `end`, and the integral of the divergence [B],
    which is 0 without `directions`. An example that needs too many steps comes back as NaN.

    Tsitouras' 5th-order method, each example with steps of its own, to a relative and absolute
    `tolerance`.
    """
    diffrax = import_diffrax()

    def rate(time, state, directions):
        return velocity_and_jacobian(velocity, state[0], time, directions)[:2]

    def solve_one(x, directions):
        # Each example has its own steps: a solver that takes common ones would couple them.
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rate), diffrax.Tsit5(), start, end, dt0=None,
            y0=(x[None], jnp.zeros(1)),
            args=None if directions is None else directions[:, None],
            stepsize_controller=diffrax.PIDController(tolerance, tolerance),
            max_steps=_MAX_STEPS, throw=False,
        )  # fmt: skip
        # What was not solved in that many steps is no number, and found as such.
        solved = solution.result == diffrax.RESULTS.successful
        return jax.tree.map(lambda a: jnp.where(solved, a[-1, 0], jnp.nan), solution.ys)

    in_axes = (0, None if directions is None else 1)
    return jax.vmap(solve_one, in_axes)(x.astype(jnp.float32), directions)


def import_diffrax():
    """Imports the solvers when they are first needed: they take a second, and are an extra.

    Raises:
        UserError: they are not installed.
    """
    try:
        import diffrax
    except ImportError:
        raise UserError(f'differential equations need diffrax: {how_to_install("ode")}') from None
    return diffrax
