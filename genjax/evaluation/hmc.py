"""Hamiltonian Monte Carlo."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

Density = Callable[[Array], Array]
"""Maps latents [B, D] to log-densities [B]."""


def hmc_step(
    key: Array, log_density: Density, z: Array, step_size: Array | float, num_leapfrog: int
) -> tuple[Array, Array]:
    """One Hamiltonian Monte Carlo transition, which keeps `log_density` invariant.

    Args:
        key: PRNG key.
        log_density: the target, up to a constant, for each row independently.
        z: [B, D].
        step_size: leapfrog step size, a number or [B].
        num_leapfrog: number of leapfrog steps.

    Returns:
        The new z, and whether each proposal was accepted, float32 [B].
    """
    step = jnp.broadcast_to(step_size, (len(z),))[:, None]
    momentum_key, accept_key = jax.random.split(key)
    momentum = jax.random.normal(momentum_key, z.shape)

    def value_and_gradient(z: Array) -> tuple[Array, Array]:
        value, pull = jax.vjp(log_density, z)
        return value, pull(jnp.ones_like(value))[0]

    def leapfrog(carry: tuple, _: None) -> tuple[tuple, None]:
        z, p, (_, gradient) = carry
        p = p + 0.5 * step * gradient
        z = z + step * p
        new = value_and_gradient(z)
        return (z, p + 0.5 * step * new[1], new), None

    start = value_and_gradient(z)
    (proposal, p, end), _ = jax.lax.scan(leapfrog, (z, momentum, start), length=num_leapfrog)
    log_ratio = end[0] - start[0] + 0.5 * jnp.sum(momentum**2 - p**2, axis=-1)
    # A divergent trajectory gives NaN; reject it.
    log_ratio = jnp.where(jnp.isfinite(log_ratio), log_ratio, -jnp.inf)
    accepted = jnp.log(jax.random.uniform(accept_key, log_ratio.shape)) < log_ratio
    return jnp.where(accepted[:, None], proposal, z), accepted.astype(jnp.float32)
