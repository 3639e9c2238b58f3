"""Terms of variational bounds: pure functions of arrays, in nats."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def gaussian_kl_per_dim(mean: Array, log_std: Array) -> Array:
    """KL(N(mean, std²) ‖ N(0, 1)) of each dimension."""
    return 0.5 * (mean**2 + jnp.expm1(2 * log_std) - 2 * log_std)


def gaussian_kl_to_standard(mean: Array, log_std: Array) -> Array:
    """KL(N(mean, std²) ‖ N(0, 1)), summed over the last axis."""
    return jnp.sum(gaussian_kl_per_dim(mean, log_std), axis=-1)


def gaussian_log_prob(z: Array, mean: Array | float = 0.0, log_std: Array | float = 0.0) -> Array:
    """Log-density of a diagonal normal, summed over the last axis."""
    standardised = (z - mean) * jnp.exp(-log_std)
    return -jnp.sum(0.5 * (standardised**2 + math.log(2 * math.pi)) + log_std, axis=-1)


def log_mean_exp(log_weights: Array, axis: int = 0) -> Array:
    """log(mean(exp(log_weights))) along an axis: the bound of Burda et al., 2016."""
    return jax.nn.logsumexp(log_weights, axis=axis) - math.log(log_weights.shape[axis])


@jax.custom_jvp
def scale_gradient(x: Array, factor: Array) -> Array:
    """Returns x and multiplies its gradient by `factor`, which receives no gradient."""
    del factor
    return x


@scale_gradient.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], primals[1] * tangents[0]


def streaming_log_mean_exp(
    log_weights: Callable[[Array], Array], keys: Array, num_rows: int, rows_at_a_time: int
) -> Array:
    """Computes `log_mean_exp` over one draw per key, in chunks to bound memory.

    Args:
        log_weights: (keys [k]) -> log-weights [k, B] of one draw per key.
        keys: [K] PRNG keys; the draws do not depend on the chunk size.
        num_rows: B.
        rows_at_a_time: maximum of k * B per chunk (at least one draw).

    Returns:
        [B]
    """
    total = keys.shape[0]
    size = max(1, min(total, rows_at_a_time // num_rows))
    chunks = -(-total // size)
    index = jnp.arange(chunks * size)
    keys = keys[jnp.minimum(index, total - 1)].reshape(chunks, size)
    valid = (index < total).reshape(chunks, size, 1)

    def add(running: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
        chunk_keys, chunk_valid = chunk
        values = jnp.where(chunk_valid, log_weights(chunk_keys), -jnp.inf)
        return jnp.logaddexp(running, jax.nn.logsumexp(values, axis=0)), None

    start = jnp.full((num_rows,), -jnp.inf)
    return jax.lax.scan(add, start, (keys, valid))[0] - math.log(total)
