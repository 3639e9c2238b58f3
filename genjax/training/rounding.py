"""Parameters and optimizer states in bfloat16, with stochastic rounding.

An update smaller than half the distance of two bfloat16 numbers (2⁻⁸ of the value) is lost if the
result is rounded to the nearest one: training stalls. Rounded up or down at random, with
probabilities that make the mean exact, it arrives in expectation (Zamirai et al., "Revisiting
BFloat16 training", 2020).
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

Precision = Literal['float32', 'bfloat16']

_LOW_BITS = 16  # that bfloat16 does not have, of the 32 of a float32


def stored(tree: Any, precision: Precision) -> Any:
    """Rounds the float32 arrays of a tree to the nearest number of this precision; scalars, such as
    learning rates, stay.
    """
    if precision == 'float32':
        return tree
    return jax.tree.map(lambda a: a.astype(jnp.bfloat16) if _is_rounded(a) else a, tree)


def computed(tree: Any, precision: Precision = 'bfloat16') -> Any:
    """Returns a tree of this precision in float32, as losses and optimizers take it."""
    if precision == 'float32':
        return tree
    return jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.bfloat16 else a, tree)


def rounded(tree: Any, precision: Precision, key: Array) -> Any:
    """Rounds the arrays that `stored` rounds stochastically, as a function of the key."""
    if precision == 'float32':
        return tree
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        _stochastic(leaf, key) if _is_rounded(leaf) else leaf
        for leaf, key in zip(leaves, keys, strict=True)
    )


def _is_rounded(a: Array) -> bool:
    return a.dtype == jnp.float32 and a.ndim > 0


def _stochastic(x: Array, key: Array) -> Array:
    """Rounds float32 x to bfloat16, up with the probability of the share of the way to the next
    number away from zero: adds random bits below the last one that is kept, and cuts.
    """
    noise = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.uint32)
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + noise
    kept = (bits >> _LOW_BITS).astype(jnp.uint16)
    up_or_down = jax.lax.bitcast_convert_type(kept, jnp.bfloat16)
    return jnp.where(jnp.isfinite(x), up_or_down, x.astype(jnp.bfloat16))
