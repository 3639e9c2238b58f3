"""Variables away from their initial values, for tests of autoregressive models."""

import functools

import jax
import jax.numpy as jnp

KEY = jax.random.key(3)


def spread(tree, scale=0.5):
    """Adds noise to every leaf, so that nothing is at its initial value of 0."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    noisy = [a + scale * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, noisy)


@functools.cache
def variables_of(model):
    x = jnp.zeros((2, *model.event_shape), jnp.int32 if is_tokens(model) else jnp.float32)
    return jax.jit(lambda: spread(model.init(KEY, {'x': x})))()


def is_tokens(model):
    return getattr(model.network, 'vocab_size', None) is not None
