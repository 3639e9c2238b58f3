"""Samples of a model, and examples as it sees them, as arrays on the host."""

import functools
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from genjax.data.pipeline import random_subset
from genjax.evaluation.base import EvaluationData
from genjax.evaluation.host import fetch, mesh_of, spread
from genjax.models.base import GenerativeModel, Variables


def draw(
    model: GenerativeModel,
    variables: Variables,
    num: int,
    key: Array,
    batch_size: int,
    label: np.ndarray | None = None,
) -> np.ndarray:
    """Draws [num, *event] in the space of the model, `batch_size` at a time.

    Args:
        model: what to sample.
        variables: the model's.
        num: how many.
        key: PRNG key.
        batch_size: samples at a time.
        label: the class of each, int32 [num]; None: as the model likes.
    """
    parts, mesh = [], mesh_of(variables)
    for start in range(0, num, batch_size):
        part = None if label is None else np.resize(label[start : start + batch_size], batch_size)
        x, key = _batch(model, batch_size, mesh, variables, key, jax.device_put(part))
        parts.append(fetch(x))
    return np.concatenate(parts)[:num]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _batch(
    model: Any,
    size: int,
    mesh: Mesh | None,
    variables: Variables,
    key: Array,
    label: Array | None,
) -> tuple[Array, Array]:
    """Samples, and the key of the next batch."""
    next_key, key = jax.random.split(key)
    # A model without classes need not take a label.
    options = {} if label is None else {'label': label}
    return spread(model.sample(variables, key, size, **options), mesh), next_key


def examples(data: EvaluationData, num: int, key: Array, batch_size: int) -> np.ndarray:
    """At most `num` examples of a split, chosen once for all, in the space of the model.

    Args:
        data: the split.
        num: how many; fewer where the split is smaller.
        key: PRNG key of the preprocessing.
        batch_size: examples at a time.
    """
    parts = []
    for batch in data.batches(batch_size):
        x, key = _preprocessed(data.preprocess, batch['x'], key)
        parts.append(fetch(x)[fetch(batch['mask'])])
    real = np.concatenate(parts) if parts else np.zeros(0)
    return real[random_subset(len(real), num)]


@functools.partial(jax.jit, static_argnums=0)
def _preprocessed(preprocess: Any, x: Array, key: Array) -> tuple[Array, Array]:
    """The batch in the model's space, and the key of the next."""
    next_key, key = jax.random.split(key)
    return preprocess(x, key)[0], next_key
