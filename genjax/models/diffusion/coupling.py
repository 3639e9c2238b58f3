"""Which noise goes with which example of a batch."""

import jax.numpy as jnp
import optax
from jax import Array


def optimal_noise(x: Array, noise: Array, mask: Array | None = None) -> Array:
    """The rows of `noise` in the order in which the sum of squared distances to x is least:
    optimal transport between the two batches (Pooladian et al., 2023; Tong et al., 2024).

    Args:
        x: [B, *event].
        noise: [B, *event].
        mask: bool [B]; rows of x where it is false get what is left.
    """
    flat, points = noise.reshape(len(noise), -1), x.reshape(len(x), -1)
    # |x - ε|² less what no order changes.
    cost = jnp.matmul(-2.0 * points, flat.T, precision='highest')
    if mask is not None:
        cost = jnp.where(mask[:, None], cost + jnp.sum(flat**2, axis=-1), 0.0)
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    return noise[jnp.zeros(len(x), jnp.int32).at[rows].set(columns)]
