"""Samples and reconstructions of a trained model, in the range of its data."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from genjax.data.pipeline import random_subset
from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation import pictures
from genjax.evaluation.host import fetch, mesh_of, spread
from genjax.models.base import GenerativeModel, HasEncoder, HasTranslation, Variables
from genjax.training import distributed
from genjax.training.experiment import Experiment
from genjax.training.state import key_of

SAMPLES_PER_CALL = 256


def draw(
    experiment: Experiment, variables: Variables, num: int, seed: int, label: int | None = None
) -> dict[str, np.ndarray]:
    """Draws samples in the range of the data.

    Sample `i` depends on the seed and on `i` alone, however many are drawn.

    Args:
        experiment: the model and its preprocessing.
        variables: the model's.
        num: how many.
        seed: of the noise.
        label: the class of all of them; None: all classes in turn where the model knows classes.

    Returns:
        `x` [num, *event], and `label` [num] where the model knows classes.

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
    labels = None
    if classes is not None:
        labels = np.arange(num) % classes if label is None else np.full(num, label)
        labels = labels.astype(np.int32)

    parts, drawn = [], program(experiment, mesh_of(variables))
    for start in range(0, num, SAMPLES_PER_CALL):
        part = None
        if labels is not None:
            part = np.resize(labels[start : start + SAMPLES_PER_CALL], SAMPLES_PER_CALL)
        key = jax.random.fold_in(key_of(seed), jax.device_put(np.uint32(start)))
        parts.append(fetch(drawn(variables, key, jax.device_put(part))))
    x = np.concatenate(parts)[:num]
    return {'x': x} if labels is None else {'x': x, 'label': labels}


def reconstruct(experiment: Experiment, variables: Variables, x: np.ndarray) -> np.ndarray:
    """Encodes and decodes examples, in the range of the data; the model must have an encoder."""
    key = key_of(experiment.seed)
    model, preprocess = experiment.model, experiment.preprocess
    return fetch(_reconstruct(model, preprocess, variables, jax.device_put(x), key))


def translate(experiment: Experiment, variables: Variables, x: np.ndarray) -> np.ndarray:
    """Translates pictures of the first domain into the second, in the range of the data."""
    key = key_of(experiment.seed)
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


def program(experiment: Experiment, mesh: Mesh | None = None) -> Callable:
    """What `draw` runs for each part: (variables, key, labels or None) -> `SAMPLES_PER_CALL`
    samples, spread over the devices of `mesh`.
    """
    return functools.partial(_draw, experiment.model, experiment.preprocess, SAMPLES_PER_CALL, mesh)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _draw(
    model: GenerativeModel,
    preprocess: Chain,
    num: int,
    mesh: Mesh | None,
    variables: Variables,
    key: Array,
    label: Array | None,
) -> Array:
    return spread(preprocess.inverse(model.sample(variables, key, num, label=label)), mesh)


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
