"""Samplers of discrete values that are accurate for rare values.

Gumbel-max with float32 uniforms cannot draw events of probability below 2⁻²³ and draws those
slightly above at wrong rates: a token of probability 1e-6 that may appear at each of 64 steps would
appear at .004 of its rate. These samplers compare with uniform numbers that keep their relative
precision towards 0, and map small numbers to the less likely side.
"""

import jax
import jax.numpy as jnp
from jax import Array


def fine_uniform(key: Array, shape: tuple[int, ...] = ()) -> Array:
    """Draws uniform float32 in [0, 1) of `shape`, multiples of 2⁻⁶⁴ near 0."""
    high, low = jax.random.bits(key, (2, *shape), jnp.uint32).astype(jnp.float32)
    return jnp.minimum((high + low * 2.0**-32) * 2.0**-32, 1 - 2.0**-24)


def categorical(key: Array, logits: Array, shape: tuple[int, ...] | None = None) -> Array:
    """Draws from softmax(logits [..., K]): int32 [...], or of a `shape` that ends in [...].

    Probabilities are accurate to a relative error of about 1e-6, down to 1e-19; values of
    probability 0 are never drawn.
    """
    shape = logits.shape[:-1] if shape is None else shape
    depth = (logits.shape[-1] - 1).bit_length()
    return descend(fine_uniform(key, (depth, *shape)), logits)


def descend(uniform: Array, logits: Array) -> Array:
    """Maps uniform numbers [depth, ...] to values int32 [...] of softmax(logits [..., K]).

    The K values are the leaves of a binary tree of `depth` levels. Each level uses one number: if
    it is below the relative probability of the less likely child, descend to that child, otherwise
    to the other.
    """
    num_values = logits.shape[-1]
    logits = logits.astype(jnp.float32)
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    padding = [(0, 0)] * (weights.ndim - 1) + [(0, 2 ** len(uniform) - num_values)]
    levels = [jnp.pad(weights, padding)]
    for _ in uniform:
        levels.append(levels[-1][..., 0::2] + levels[-1][..., 1::2])
    index = jnp.zeros(uniform.shape[1:], jnp.int32)
    rows = jnp.indices(logits.shape[:-1], sparse=True)
    for u, level in zip(uniform, reversed(levels[:-1]), strict=True):
        left, right = level[(*rows, 2 * index)], level[(*rows, 2 * index + 1)]
        lighter = u * (left + right) < jnp.minimum(left, right)
        index = 2 * index + (lighter == (right < left))
    return jnp.minimum(index, num_values - 1)  # NaN logits could exceed it


def bernoulli(key: Array, logits: Array) -> Array:
    """Draws bits, float32 0 or 1 [...], from logits; accurate for rare values."""
    return bits(fine_uniform(key, logits.shape), logits)


def bits(uniform: Array, logits: Array) -> Array:
    """Maps uniform numbers [...] to bits, float32 0 or 1 [...], of logits [...]: the less likely
    value if the number is below its probability.
    """
    logits = logits.astype(jnp.float32)
    rare = uniform < jax.nn.sigmoid(-jnp.abs(logits))
    return (rare != (logits > 0)).astype(jnp.float32)


def logistic(key: Array, shape: tuple[int, ...]) -> Array:
    """Draws standard logistic numbers, accurate in both tails."""
    tail_key, sign_key = jax.random.split(key)
    half = 0.5 * fine_uniform(tail_key, shape)
    return jax.random.rademacher(sign_key, shape, jnp.float32) * (jnp.log(half) - jnp.log1p(-half))
