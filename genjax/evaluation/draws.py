"""Samples of a model as arrays on the host."""

import functools
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.models.base import GenerativeModel, Variables


def draw(
    model: GenerativeModel, variables: Variables, num: int, key: Array, batch_size: int
) -> np.ndarray:
    """Draws [num, *event] in the space of the model, `batch_size` at a time."""
    parts = []
    for _ in range(0, num, batch_size):
        x, key = _batch(model, batch_size, variables, key)
        parts.append(jax.device_get(x))
    return np.concatenate(parts)[:num]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch(model: Any, size: int, variables: Variables, key: Array) -> tuple[Array, Array]:
    """Samples, and the key of the next batch."""
    next_key, key = jax.random.split(key)
    return model.sample(variables, key, size), next_key
