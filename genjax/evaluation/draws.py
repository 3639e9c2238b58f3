"""Draws samples, and preprocessed examples, as host arrays."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData
from genjax.models.base import CONDITIONS, GenerativeModel, Variables
from genjax.parallel.host import fetch
from genjax.sampling.draw import draw, needs_context


def draw_like(
    data: EvaluationData,
    model: GenerativeModel,
    variables: Variables,
    num: int,
    key: Array,
    batch_size: int,
) -> np.ndarray:
    """Draws samples [num, *event] in the space of the model, for comparison with a split.

    Equal to those of `genjax sample` with the seed of the run. Conditions are drawn by
    `sampled_conditions` with the key; raises like it.
    """
    return draw_given(data, model, variables, num, key, batch_size)[0]


def draw_given(
    data: EvaluationData,
    model: GenerativeModel,
    variables: Variables,
    num: int,
    key: Array,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draws samples like `draw_like`, and returns their contexts [num, *context_shape], too."""
    given = sampled_conditions(model, data, num, key, batch_size)
    x = draw(model, variables, num, data.seed, **given, batch_size=batch_size)
    return x, given.get('context')


def with_contexts(rows: np.ndarray, contexts: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Appends the contexts of rows [N, ...], divided by `scale`: [N, D + F]."""
    return np.concatenate([rows.reshape(len(rows), -1), contexts.reshape(len(rows), -1) / scale], 1)


def context_scale(contexts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns divisors [F] by which contexts [N, *context_shape] get the variance of an element of
    rows [N, ...], on average; 1 for constants.
    """
    deviation = np.std(np.asarray(contexts, np.float64).reshape(len(contexts), -1), axis=0)
    size = math.sqrt(np.mean(np.var(np.asarray(rows, np.float64).reshape(len(rows), -1), axis=0)))
    return np.where(deviation > 0, deviation, 1.0) / (size or 1.0)


def has_classes(model: Any) -> bool:
    """Returns whether samples of the model have a label."""
    return getattr(model, 'num_classes', None) is not None


def label_protocol(model: Any, data: EvaluationData) -> str:
    """Part of a protocol on the conditions of samples; empty for an unconditional model."""
    if needs_context(model):
        return f', contexts as in {data.split}'
    return f', labels as in {data.split}' if has_classes(model) else ''


def sampled_conditions(
    model: Any, data: EvaluationData, num: int, key: Array, batch_size: int
) -> dict[str, np.ndarray]:
    """Draws the labels or contexts of `num` samples, by name, with replacement, from those of the
    split; empty for an unconditional model. Raises like `sampled_labels`.
    """
    if has_classes(model):
        return {'label': sampled_labels(model, data, num, key, batch_size)}
    if not needs_context(model):
        return {}
    contexts = _rows_of('context', model, data, batch_size)
    return {'context': contexts[fetch(_rows(key, num, len(contexts)))]}


def sampled_labels(
    model: Any, data: EvaluationData, num: int, key: Array, batch_size: int
) -> np.ndarray:
    """Draws labels int32 [num], with replacement, from those of the split: samples of a perfect
    conditional model with these labels follow the distribution of the split. Unlabelled examples
    (-1) are ignored.

    Raises:
        UserError: the split has no labels, or other classes than the model.
    """
    name, num_classes = type(model).__name__, model.num_classes
    labels = _rows_of('label', model, data, batch_size)
    labels = labels[labels >= 0]
    if not len(labels) or labels.max() >= num_classes:
        raise UserError(
            f'the labels of the {data.split} split must be 0..{num_classes - 1}, the classes of '
            f'the {name}'
        )
    return labels[fetch(_rows(key, num, len(labels)))].astype(np.int32)


def _rows_of(name: str, model: Any, data: EvaluationData, batch_size: int) -> np.ndarray:
    """The labels or contexts of all examples of a split."""
    parts = []
    for batch in data.batches(batch_size):
        if name not in batch:
            field = CONDITIONS[name]
            raise UserError(
                f'a {type(model).__name__} with {field}={getattr(model, field)} is sampled with the'
                f' {name}s of the {data.split} split, which has none'
            )
        rows, mask = fetch((batch[name], batch['mask']))
        parts.append(rows[mask])
    if not parts:
        raise UserError(f'the {data.split} split has no examples to evaluate on')
    return np.concatenate(parts)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _rows(key: Array, num: int, size: int) -> Array:
    return jax.random.randint(key, (num,), 0, size)


def examples(data: EvaluationData, num: int, key: Array, batch_size: int) -> np.ndarray:
    """Returns a fixed random subset of at most `num` examples of a split, in the space of the
    model; `contexts` returns their contexts.

    Args:
        data: the split.
        num: number of examples; fewer if the split is smaller.
        key: PRNG key of the preprocessing.
        batch_size: examples per batch.
    """
    parts = []
    for batch in data.batches(batch_size):
        x, key = preprocessed(data.preprocess, batch['x'], key)
        parts.append(fetch(x)[fetch(batch['mask'])])
    real = np.concatenate(parts) if parts else np.zeros(0)
    return real[random_subset(len(real), num)]


@functools.partial(jax.jit, static_argnums=0)
def preprocessed(preprocess: Any, x: Array, key: Array) -> tuple[Array, Array]:
    """Batch in the space of the model, and the key for the next batch."""
    next_key, key = jax.random.split(key)
    return preprocess(x, key)[0], next_key


def contexts(model: Any, data: EvaluationData, num: int, batch_size: int) -> np.ndarray | None:
    """Returns the contexts of the `examples`, for a model that needs them; None for others."""
    if not needs_context(model):
        return None
    rows = _rows_of('context', model, data, batch_size)
    return rows[random_subset(len(rows), num)]


def random_batches(data: EvaluationData, num: int, batch_size: int) -> Iterator[dict[str, Array]]:
    """Yields batches, like `data.batches`, of a fixed random subset of `num` examples of the split:
    its first ones may be all of one class.
    """
    parts = []
    for batch in data.batches(batch_size):
        mask = fetch(batch['mask'])
        parts.append({name: fetch(rows)[mask] for name, rows in batch.items() if name != 'mask'})
    if not parts:
        return
    layout = {
        # An array over several processes cannot be put anywhere else.
        name: (a if isinstance(a, Array) else jax.device_put(a)).sharding
        for name, a in batch.items()
    }
    size = len(mask)
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    chosen = random_subset(len(rows['x']), num)
    for start in range(0, len(chosen), batch_size):
        part = chosen[start : start + batch_size]
        mask = np.arange(size) < len(part)
        part = {name: values[np.resize(part, size)] for name, values in rows.items()}
        yield jax.device_put({**part, 'mask': mask}, layout)
