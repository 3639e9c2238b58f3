"""Compares a model with its data before training."""

import logging
import math

import jax
import numpy as np

from genjax.data.decoding import check_finite
from genjax.data.pipeline import random_subset
from genjax.data.sources import Dataset, Source
from genjax.errors import UserError
from genjax.hardware.compiler import run_once_options
from genjax.models.base import Values
from genjax.schedules import at_step
from genjax.training.contract import check_source
from genjax.training.experiment import Experiment

_ROWS = 256  # examples whose values are checked
_SCANNED_BYTES = 2**31  # largest in-memory split that is fully scanned for non-finite numbers
_CHUNK = 4096
_LARGEST_RMS = 30.0  # for values of order 1; raw pixels have 40 to 150
_SLACK = 1e-4  # fraction of a range, for rounding


def check_data(experiment: Experiment, source: Source) -> None:
    """Compares the declarations of model and data, and the values of some preprocessed examples
    with the range that the model expects (`Values`).

    Args:
        experiment: experiment of the run.
        source: its training split.

    Raises:
        UserError: number of classes, labels, vocabulary, shape, or range of values do not fit; or
            an example is not finite; or a split that evaluators need is missing. The message names
            the fields.
    """
    dataset, model = experiment.dataset, at_step(experiment.model, 0)
    experiment.preprocess.check(dataset)
    check_source(dataset, source)
    batch = source[random_subset(len(source), _ROWS)]
    _check_held_out(experiment, batch['x'].shape[1:])
    _check_classes(model, dataset, batch)
    _check_context(model, dataset, batch)
    _check_vocabulary(model, experiment)
    _check_finite(source)
    experiment.check_shapes(jax.ShapeDtypeStruct(batch['x'].shape, batch['x'].dtype))
    values = getattr(model, 'data_values', None)
    # Latents of a first stage are normalised, and computing them needs its encoder.
    if values is not None and not experiment.preprocess.lossy:
        options = run_once_options(jax.devices())
        preprocess = jax.jit(experiment.preprocess, compiler_options=options)
        y, _ = preprocess(jax.device_put(batch['x']), jax.random.key(0))
        tokens = getattr(model, 'vocab_size', None) is not None
        _check_values(values, np.asarray(y, np.float32), tokens)


def _check_held_out(experiment: Experiment, shape: tuple[int, ...]) -> None:
    """Raises UserError if a split that evaluators need is missing or of another shape."""
    for split, name in {e.split: name for name, e in experiment.evals.items()}.items():
        source = experiment.dataset.source(split)
        if not len(source):
            raise UserError(f'the {split} split is empty, and config.evals.{name} evaluates on it')
        there = source[np.arange(1)]['x'].shape[1:]
        if there != shape:
            raise UserError(f'an x of the {split} split is {there}, one of the train split {shape}')


def _check_classes(model: object, dataset: Dataset, batch: dict[str, np.ndarray]) -> None:
    wanted, there = getattr(model, 'num_classes', None), dataset.num_classes
    if wanted is None:
        return
    if 'label' not in batch:
        reason = getattr(dataset, 'why_no_labels', None)
        missing = f'no feature is the label: {reason}' if reason else 'the data have no labels'
        raise UserError(f'config.model.num_classes={wanted}, and {missing}')
    if there is not None and there != wanted:
        raise UserError(
            f'config.model.num_classes={wanted}, and the data have {there} classes:'
            f' set config.model.num_classes={there}'
        )
    label = batch['label']
    lowest = -1 if getattr(model, 'takes_unlabelled', False) else 0
    if label.min() < lowest or label.max() >= wanted:
        unlabelled = f'; -1 is unlabelled, which a {type(model).__name__} does not take'
        raise UserError(
            f'config.model.num_classes={wanted}, and the data have labels from {label.min()} to'
            f' {label.max()}: they must be {lowest}..{wanted - 1}'
            f'{unlabelled if label.min() == -1 and lowest == 0 else ""}'
        )


def _check_context(model: object, dataset: Dataset, batch: dict[str, np.ndarray]) -> None:
    wanted, there = (getattr(part, 'context_shape', None) for part in (model, dataset))
    if wanted is None:
        return
    if there is None:
        raise UserError(f'config.model.context_shape={wanted}, and the data have no context')
    if tuple(wanted) != tuple(there):
        raise UserError(
            f'config.model.context_shape={wanted}, and a context of the data has the shape'
            f' {tuple(there)}: set config.model.context_shape={tuple(there)}'
        )
    rms = _rms(batch['context'])
    if not rms < _LARGEST_RMS:
        raise UserError(f'the contexts of the data are {rms:.3g} on average (rms), and networks are'
                        ' made for values of size about 1: scale them')  # fmt: skip


def _check_vocabulary(model: object, experiment: Experiment) -> None:
    wanted = getattr(model, 'vocab_size', None)
    steps = experiment.preprocess.steps
    there = getattr(steps[-1] if steps else experiment.dataset, 'num_values', None)
    if None not in (wanted, there) and wanted != there:
        raise UserError(
            f'the model is made for {wanted} tokens, and the data have {there}:'
            f' set config.model.network.vocab_size={there}'
        )


def _check_finite(source: Source) -> None:
    """Raises UserError for the first non-finite example: scans a split in memory, samples a split
    in files.
    """
    example = source[np.arange(1)]['x']
    if not np.issubdtype(example.dtype, np.floating):
        return
    rows = np.arange(len(source))
    if not source.in_memory or len(source) * example.nbytes > _SCANNED_BYTES:
        rows = random_subset(len(source), _ROWS)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        check_finite(source[chunk]['x'], chunk, 'the train split')


def _check_values(values: Values, y: np.ndarray, tokens: bool) -> None:
    low, high = float(y.min()), float(y.max())
    found = f'the data have values from {low:g} to {high:g} after config.preprocess'
    if values.unit:
        rms = _rms(y)
        if rms > _LARGEST_RMS:
            raise UserError(
                f'{found}, {rms:.0f} on average (rms), and {values.of} is made for {values}:'
                ' scale them, pixels with preprocess=Chain((Scale(-1.0, 1.0),))'
            )
        return
    slack = _SLACK * (values.high - values.low)
    if low < values.low - slack or high > values.high + slack:
        raise UserError(f'{found}, and {values.of} is made for {values}{_remedy(values, y)}')
    if values.whole and not np.array_equal(y, np.round(y)):
        raise UserError(
            f'{found}, not all of them whole, and {values.of} is made for {values}'
            f'{_remedy(values, y)}'
        )
    if tokens:  # a text need not have all of them
        return
    if high - low < 0.6 * (values.high - values.low) and len(y) >= 64 and values.high < 256:
        logging.getLogger(__name__).warning('%s, and %s is made for %s', found, values.of, values)


def _rms(values: np.ndarray) -> float:
    return math.sqrt(float(np.mean(np.square(values, dtype=np.float64))))


def _remedy(values: Values, y: np.ndarray) -> str:
    """Suggests a change of the preprocessing of pixels."""
    if y.ndim != 4:
        return ''
    if not values.whole:
        return f': preprocess=Chain((Scale({float(values.low)}, {float(values.high)}),))'
    return ': leave out steps that scale' if values.high == 255 else ''
