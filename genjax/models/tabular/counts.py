"""Tables of counts: pure functions of counts [D, V] of D variables with up to V values each."""

import jax.numpy as jnp
from jax import Array

from genjax.models import draws


def is_value(values: Array, num_values: Array) -> Array:
    """Checks that all `values` int32 [B, D] are in 0..num_values-1 ([D]): bool [B]."""
    return jnp.all((values >= 0) & (values < num_values), axis=-1)


def add(counts: Array, values: Array, weight: Array) -> Array:
    """Adds examples to the counts.

    Args:
        counts: [D, V].
        values: int32 [B, D].
        weight: multiplicity of each example, [B]; 0 ignores it.

    Returns:
        The new counts.
    """
    places = (jnp.arange(len(counts)), jnp.clip(values, 0, counts.shape[1] - 1))
    return counts.at[places].add(weight[:, None].astype(counts.dtype))


def masses(counts: Array, num_values: Array, smoothing: Array | float) -> Array:
    """Computes the unnormalised probability of every value, [D, V]: its count plus `smoothing`, or
    0 beyond `num_values` [D]. A variable without counts or smoothing is uniform, with mass 1.
    """
    exists = jnp.arange(counts.shape[1]) < num_values[:, None]
    mass = jnp.where(exists, counts + smoothing, 0.0)
    return jnp.where(jnp.sum(mass, axis=-1, keepdims=True) > 0, mass, exists.astype(counts.dtype))


def log_prob(masses: Array, values: Array) -> Array:
    """Computes the log-probability [B] in nats of values int32 [B, D], summed over variables."""
    log_masses = jnp.log(masses) - jnp.log(jnp.sum(masses, axis=-1, keepdims=True))
    return jnp.sum(log_masses[jnp.arange(len(masses)), values], axis=-1)


def sample(masses: Array, key: Array, num: int) -> Array:
    """Draws values int32 [num, D]; those of mass 0 are never drawn."""
    return draws.categorical(key, jnp.log(masses), (num, len(masses)))
