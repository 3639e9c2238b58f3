"""Samples and reconstructions of a trained model, in the range of its data."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from genjax.data.pipeline import random_subset
from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation import pictures
from genjax.keys import key_of
from genjax.models.base import GenerativeModel, HasEncoder, HasTranslation, Variables
from genjax.parallel import distributed, sharding
from genjax.parallel.host import fetch, mesh_of, spread
from genjax.training.experiment import Experiment

SAMPLES_PER_CALL = 256
"""Samples drawn at a time, at most, unless the caller sets another number."""


def draw(
    experiment: Experiment,
    variables: Variables,
    num: int,
    seed: int,
    label: int | None = None,
    batch_size: int = SAMPLES_PER_CALL,
) -> dict[str, np.ndarray]:
    """Draws samples in the range of the data; see `draws`.

    Returns:
        `x` [num, *event], and `label` int32 [num] where the model knows classes.
    """
    parts = list(draws(experiment, variables, num, seed, label, batch_size))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def draws(
    experiment: Experiment,
    variables: Variables,
    num: int,
    seed: int,
    label: int | None = None,
    batch_size: int = SAMPLES_PER_CALL,
) -> Iterator[dict[str, np.ndarray]]:
    """Draws samples in the range of the data, part by part.

    Sample `i` depends on the seed and on `i` alone, to rounding however many are drawn and at a
    time, and bit for bit for the same number at a time. Time and memory follow these numbers.

    Args:
        experiment: the model and its preprocessing.
        variables: the model's.
        num: the number of samples.
        seed: of the noise.
        label: the class of all of them; None: all classes in turn where the model knows classes.
        batch_size: the number of samples at a time, at most.

    Yields:
        `x` [n, *event], and `label` int32 [n] where the model knows classes.

    Raises:
        UserError: a label that the model cannot take; or the model draws nothing.
    """
    if not callable(getattr(experiment.model, 'sample', None)):
        raise UserError(f'a {type(experiment.model).__name__} draws no samples from noise')
    classes = getattr(experiment.model, 'num_classes', None)
    if label is not None and classes is None:
        raise UserError(
            f'this {type(experiment.model).__name__} has no classes: sample without a label'
        )
    if label is not None and not 0 <= label < classes:
        raise UserError(f'label={label} is not one of the {classes} classes 0..{classes - 1}')

    # Powers of two, so that few programs serve all numbers.
    size = min(batch_size, 1 << (num - 1).bit_length())
    drawn = program(experiment, mesh_of(variables), size)
    for start in range(0, num, size):
        labels = None
        if classes is not None:
            labels = np.arange(start, start + size) % classes if label is None else [label] * size
            labels = np.asarray(labels, np.int32)
        place = jax.device_put(np.uint32(start))
        x = fetch(drawn(variables, key_of(seed, 'samples'), place, jax.device_put(labels)))
        part = {'x': x} if labels is None else {'x': x, 'label': labels}
        yield {name: array[: num - start] for name, array in part.items()}


def reconstruct(experiment: Experiment, variables: Variables, x: np.ndarray) -> np.ndarray:
    """Encodes and decodes examples, in the range of the data; the model must have an encoder."""
    key = key_of(experiment.seed, 'examples')
    model, preprocess = experiment.model, experiment.preprocess
    return fetch(_reconstruct(model, preprocess, variables, jax.device_put(x), key))


def translate(experiment: Experiment, variables: Variables, x: np.ndarray) -> np.ndarray:
    """Translates pictures of the first domain into the second, in the range of the data."""
    key = key_of(experiment.seed, 'examples')
    model, preprocess = experiment.model, experiment.preprocess
    return fetch(_translate(model, preprocess, variables, jax.device_put(x), key))


def picture_kinds(experiment: Experiment) -> tuple[str, ...]:
    """The pictures to be had of a model: 'samples' and, with an encoder, 'reconstructions'; of one
    that translates 'translations' alone; none where the data cannot be seen, being neither pictures
    nor points in the plane.
    """
    if isinstance(experiment.model, HasTranslation):
        return ('translations',)
    shape = _shown_shape(experiment)
    if shape != (2,) and (len(shape) != 3 or shape[-1] not in (1, 3)):
        return ()
    has_encoder = isinstance(experiment.model, HasEncoder)
    return ('samples', 'reconstructions') if has_encoder else ('samples',)


def write_pictures(
    experiment: Experiment, variables: Variables, workdir: Path, step: int
) -> dict[str, Path]:
    """Writes `<kind>/<step>.png` for each kind of picture to be had; the first process does.

    Returns:
        The files, by their kinds.
    """
    written = {}
    for kind in picture_kinds(experiment):
        written[kind] = workdir / kind / f'{step}.png'
        reference = None
        if kind == 'samples':
            x = draw(experiment, variables, experiment.num_samples, experiment.seed)['x']
            if _shown_shape(experiment) == (2,):
                reference = _held_out(experiment, experiment.num_samples)
        else:
            reference = _held_out(experiment, -(-experiment.num_samples // 2))
            if kind == 'translations':
                reference = reference[:, 0]
                x = translate(experiment, variables, reference)
            else:
                x = reconstruct(experiment, variables, reference)
        if reference is not None and kind != 'translations':
            reference = experiment.preprocess.show(reference)
        if distributed.is_first():
            pictures.save(written[kind], x, reference)
    return written


def _shown_shape(experiment: Experiment) -> tuple[int, ...]:
    return experiment.preprocess.shown_shape or experiment.dataset.event_shape


def _held_out(experiment: Experiment, num: int) -> np.ndarray:
    source = experiment.dataset.source('validation')
    return source[random_subset(len(source), num)]['x']


def program(
    experiment: Experiment, mesh: Mesh | None = None, size: int = SAMPLES_PER_CALL
) -> Callable:
    """Returns what `draws` runs for each part: (variables, key, start, labels [size] or None) ->
    the samples `start`, …, `start + size - 1`, spread over the devices of `mesh`.
    """
    return functools.partial(_draw, experiment.model, experiment.preprocess, size, mesh)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _draw(
    model: GenerativeModel,
    preprocess: Chain,
    size: int,
    mesh: Mesh | None,
    variables: Variables,
    key: Array,
    start: Array,
    label: Array | None,
) -> Array:
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, start + jnp.arange(size, dtype=jnp.uint32))
    if mesh is not None:
        keys = jax.lax.with_sharding_constraint(keys, sharding.rows(mesh))

    def sample(key: Array, label: Array | None) -> Array:
        return model.sample(variables, key, 1, label=None if label is None else label[None])[0]

    return spread(preprocess.inverse(jax.vmap(sample)(keys, label)), mesh)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _reconstruct(
    model: HasEncoder, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> Array:
    preprocess_key, encode_key, decode_key = jax.random.split(key, 3)
    y, _ = preprocess(x, preprocess_key)
    z = model.encode(variables, y, encode_key)
    return preprocess.inverse(model.decode(variables, z, decode_key))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _translate(
    model: HasTranslation, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> Array:
    y, _ = preprocess(x, key)
    return preprocess.inverse(model.translate(variables, y))
