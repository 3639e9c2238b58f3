"""Minibatch optimal-transport coupling of noise and data."""

import jax
import jax.numpy as jnp
import optax
from jax import Array


def optimal_noise(
    x: Array, noise: Array, mask: Array | None = None, condition: Array | None = None
) -> Array:
    """Permutes the rows of `noise` to minimise the sum of squared distances to x: optimal transport
    between the two batches (Pooladian et al., 2023; Tong et al., 2024).

    With conditions, permutes among equal ones only. Otherwise the noise in training would depend on
    the condition, unlike the noise in sampling (Cheng & Schwing, "The curse of conditions", 2025).

    Args:
        x: [B, *event].
        noise: [B, *event].
        mask: bool [B]; masked rows of x get the remaining noise (with conditions, their own).
        condition: [B, F].
    """
    flat, points = noise.reshape(len(noise), -1), x.reshape(len(x), -1)
    # |x - ε|² without the terms that do not depend on the permutation.
    cost = jnp.matmul(-2.0 * points, flat.T, precision='highest')
    if mask is not None:
        cost = jnp.where(mask[:, None], cost + jnp.sum(flat**2, axis=-1), 0.0)
    if condition is not None:
        # Row by row: all pairs at once take the square of the batch in memory.
        same = jax.lax.map(lambda row: jnp.all(row == condition, axis=-1), condition)
        if mask is not None:
            same &= mask[:, None] == mask
        cost = jnp.where(same, cost, jnp.inf)
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    return noise[jnp.zeros(len(x), jnp.int32).at[rows].set(columns)]
