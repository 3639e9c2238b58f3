"""The one function that draws: sample `i` is a function of (seed, i).

Samples are computed in chunks of a fixed size, one compiled program, and chunk c holds the samples
c N … c N + N - 1: the bits of a sample do not depend on how many are drawn, nor on how many at a
time. The last chunk computes some samples that nobody asked for.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.keys import key_of
from genjax.models import prompts
from genjax.models.base import GenerativeModel, Variables
from genjax.parallel import sharding
from genjax.parallel.host import fetch, mesh_of, spread

IDENTITY = Chain()

BATCH_SIZE = 256
"""Samples in flight at a time on each share of the devices, unless the caller sets a number."""


def draw(
    model: GenerativeModel,
    variables: Variables,
    num: int,
    seed: int = 0,
    label: int | np.ndarray | None = None,
    **options: Any,
) -> np.ndarray:
    """Draws [num, *event]; takes and raises what `draws` does."""
    parts = draws(model, variables, num, seed, label, **options)
    return np.concatenate([part['x'] for part in parts])


def draws(
    model: GenerativeModel,
    variables: Variables,
    num: int,
    seed: int = 0,
    label: int | np.ndarray | None = None,
    *,
    context: np.ndarray | None = None,
    prompt: np.ndarray | None = None,
    preprocess: Chain = IDENTITY,
    batch_size: int = BATCH_SIZE,
    means: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """Draws samples part by part; time follows `num`, and memory `batch_size`.

    Args:
        model: the model.
        variables: its variables, on one device or spread over several.
        num: number of samples.
        seed: of the noise.
        label: the class of all samples, or int [num], one each; None: all classes in turn where the
            model has classes.
        context: the context of all samples, [*context_shape], or of each, [num, *context_shape].
        prompt: the first elements of all samples, [P, *element], or of each, [num, P, *element], of
            models that take prompts, in the space of the model.
        preprocess: inverted, which gives samples in the range of the data; the default leaves them
            in the space of the model.
        batch_size: samples in flight at a time on each share of the devices, rounded to whole
            chunks (`chunk_size`).
        means: of a model whose likelihood adds noise, draw the mean instead (`HasMeans`); without
            effect on other models.

    Yields:
        `x` [n, *event], and `label` int32 [n] or `context` float32 [n, *context_shape] of a
        conditional model.

    Raises:
        UserError: the model draws no samples from noise, or does not take the label, context or
            prompt, or needs a context.
    """
    if not callable(getattr(model, 'sample', None)):
        raise UserError(f'a {type(model).__name__} draws no samples from noise')
    conditions, mesh = conditions_of(model, num, label, context), mesh_of(variables)
    given = dict(conditions)
    if prompt is not None:
        given['prompt'] = prompts.of_samples(model, num, np.asarray(prompt))
    rows = chunk_size(mesh)
    drawn = chunk_program(model, preprocess, mesh, means)
    key, in_flight = key_of(seed, 'samples'), batch_size * num_shares(mesh)
    step = max(1, in_flight // rows) * rows
    for start in range(0, num, step):
        chunks = []
        for first in range(start, min(start + step, num), rows):
            part = {
                name: np.resize(values[first : first + rows], (rows, *values.shape[1:]))
                for name, values in given.items()
            }
            place = jax.device_put(np.uint32(first))
            chunks.append(drawn(variables, key, place, jax.device_put(part)))
        x = np.concatenate(fetch(chunks))[: num - start]
        part = {name: values[start : start + step] for name, values in conditions.items()}
        yield {'x': x, **part}


def conditions_of(
    model: Any,
    num: int,
    label: int | np.ndarray | None = None,
    context: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The labels int32 [num] or contexts float32 [num, *context_shape] of `num` samples, by name;
    see `draws`.
    """
    labels = labels_of(model, num, label)
    if context is not None or needs_context(model):
        return {'context': contexts_of(model, num, context)}
    return {} if labels is None else {'label': labels}


def needs_context(model: Any) -> bool:
    """Returns whether samples of the model need a context."""
    return getattr(model, 'context_shape', None) is not None


def contexts_of(model: Any, num: int, context: np.ndarray | None) -> np.ndarray:
    """The contexts float32 [num, *context_shape] of `num` samples; see `draws`."""
    shape, name = getattr(model, 'context_shape', None), type(model).__name__
    if shape is None:
        raise UserError(f'this {name} learned no contexts: leave the context out')
    one, all_ = (f'[{", ".join(map(str, shape))}]' for shape in (shape, (num, *shape)))
    if context is None:
        raise UserError(f'this {name} learned p(x | context): give a context {all_}, or {one}')
    contexts = np.asarray(context)
    if contexts.dtype.kind not in 'biuf' or contexts.shape not in (shape, (num, *shape)):
        found = f'{contexts.dtype} {list(contexts.shape)}'
        raise UserError(f'a context of {num} samples is numbers {all_}, or {one}; not {found}')
    if not np.all(np.isfinite(contexts)):
        raise UserError('the context has a number that is not finite')
    return np.broadcast_to(contexts.astype(np.float32), (num, *shape))


def labels_of(model: Any, num: int, label: int | np.ndarray | None) -> np.ndarray | None:
    """The classes int32 [num] of samples, None for a model without; see `draws`."""
    classes, name = getattr(model, 'num_classes', None), type(model).__name__
    if classes is None:
        if label is not None:
            raise UserError(f'this {name} has no classes: leave the label out')
        return None
    if label is None:
        return np.arange(num, dtype=np.int32) % classes
    labels = np.asarray(label)
    if labels.dtype.kind not in 'iu' or labels.shape not in ((), (num,)):
        raise UserError(
            f'a label is a whole number, or {num} of them for {num} samples; not'
            f' {labels.dtype} {list(labels.shape)}'
        )
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise UserError(
            f'label={wrong.flat[0]} is not one of the {classes} classes 0..{classes - 1}'
        )
    return np.broadcast_to(labels, num).astype(np.int32)


def num_shares(mesh: Mesh | None) -> int:
    """Number of shares of the devices, each of which computes other samples."""
    return 1 if mesh is None else sharding.num_shares(mesh)


def chunk_size(mesh: Mesh | None) -> int:
    """Rows that are computed at a time: 16 on a CPU, 32 for each share of other devices.

    One sample costs as much as a chunk; fewer rows leave wide devices idle.
    """
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    shares = num_shares(mesh)
    return -(-16 // shares) * shares if device.platform == 'cpu' else 32 * shares


def chunk_program(
    model: GenerativeModel,
    preprocess: Chain = IDENTITY,
    mesh: Mesh | None = None,
    means: bool = False,
) -> Callable[..., Array]:
    """What `draws` runs for each chunk: (variables, key, start, conditions [rows, ...] by name) ->
    the samples `start` … `start + rows - 1`, spread over the devices of `mesh`.
    """

    def run(variables: Variables, key: Array, start: Array, given: Mapping[str, Array]) -> Array:
        x = _draw(model, mesh, means, variables, key, start, given)
        # A program of its own, so that samples have the same bits with and without it.
        return _inverse(preprocess, mesh, x) if preprocess.steps else x

    return run


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _draw(
    model: GenerativeModel,
    mesh: Mesh | None,
    means: bool,
    variables: Variables,
    key: Array,
    start: Array,
    given: Mapping[str, Array],
) -> Array:
    numbers = start + jnp.arange(chunk_size(mesh), dtype=jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
    if mesh is not None:
        keys = jax.lax.with_sharding_constraint(keys, sharding.rows(mesh))
    method = getattr(model, 'sample_mean', model.sample) if means else model.sample

    def sample(key: Array, given: Mapping[str, Array]) -> Array:
        # A model without conditions need not take any.
        given = {name: value[None] for name, value in given.items()}
        return method(variables, key, 1, **given)[0]

    return spread(jax.vmap(sample)(keys, given), mesh)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _inverse(preprocess: Chain, mesh: Mesh | None, x: Array) -> Array:
    if mesh is not None:
        x = jax.lax.with_sharding_constraint(x, sharding.rows(mesh))
    return spread(preprocess.inverse(x), mesh)
