"""Traces the programs of a run for absent devices, from shapes alone."""

from dataclasses import dataclass
from typing import Any

import jax

from genjax.data import Chain
from genjax.errors import UserError
from genjax.evaluation.likelihood import Likelihood
from genjax.models.base import CONDITIONS
from genjax.parallel import sharding
from genjax.sampling.draw import chunk_program, chunk_size
from genjax.training.experiment import Experiment
from genjax.training.frozen import merged
from genjax.training.programs import Example, Programs, example_of

PROGRAMS = ('train', 'sample', 'evaluate')


@dataclass(frozen=True)
class Program:
    """A traced program and its arguments.

    Attributes:
        traced: ready to be counted, lowered and compiled.
        arguments: its large arguments by kind, as `jax.ShapeDtypeStruct`s with shardings.
        examples: examples trained on, drawn or evaluated per execution.
        steps: training steps per execution.
        left_out: parts that could not be traced here, as notes.
    """

    traced: jax.stages.Traced
    arguments: dict[str, Any]
    examples: int
    steps: int = 1
    left_out: frozenset[str] = frozenset()


def example(experiment: Experiment) -> tuple[Example, str | None]:
    """Returns the shapes of an example, and the reason why they do not come from the data, if so.

    A data set may know them without its files (`example`). If the data cannot be opened here, the
    shapes are derived from the model.

    Raises:
        UserError: neither source knows the shapes.
    """
    dataset, model = experiment.dataset, experiment.model
    try:
        known = getattr(dataset, 'example', None)
        return known or example_of(dataset.source('train')), None
    except UserError as error:
        shape = getattr(model, 'event_shape', None)
        if shape is None:
            raise UserError(
                f'{error}; and the {type(model).__name__} does not say what examples it takes'
            ) from None
        missing = str(error)
    y = jax.ShapeDtypeStruct((1, *shape), 'float32')
    x = jax.eval_shape(experiment.preprocess.inverse, y)
    tokens = hasattr(getattr(model, 'network', None), 'vocab_size') and len(shape) == 1
    found: dict[str, Any] = {'x': (x.shape[1:], 'int32' if tokens else 'float32')}
    if getattr(model, 'num_classes', None) is not None:
        found['label'] = ((), 'int32')
    if (shape := getattr(model, 'context_shape', None)) is not None:
        found['context'] = (shape, 'float32')
    return found, missing


def program(name: str, experiment: Experiment, shapes: Example, programs: Programs) -> Program:
    """Traces a program of `PROGRAMS`.

    Raises:
        UserError: the model or the config has no such program.
    """
    state, mesh = programs.state, programs.mesh
    if name == 'train':
        arguments = {
            'parameters': state.variables['params'],
            'model state': (state.variables['state'], state.ema_state),
            'optimizer': state.opt_state,
            'averages': state.ema,
            'batch': programs.batch,
        }
        traced = programs.step.trace(state, programs.batch)
        return Program(
            traced, arguments, experiment.rows_per_step * experiment.calls,
            experiment.calls,
        )  # fmt: skip
    params = state.variables['params']
    averaged = merged(state.ema[0], params) if state.ema else params
    variables = {**state.variables, 'params': averaged}
    arguments = {'parameters': variables['params'], 'model state': variables['state']}
    key = jax.eval_shape(lambda: jax.random.key(0))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=sharding.replicated(mesh))
    if name == 'sample':
        num = chunk_size(mesh)
        start = jax.ShapeDtypeStruct((), 'uint32', sharding=sharding.replicated(mesh))
        given = {
            name: jax.ShapeDtypeStruct((num, *shape), dtype, sharding=sharding.replicated(mesh))
            for name, (shape, dtype) in shapes.items()
            if name in CONDITIONS and getattr(experiment.model, CONDITIONS[name], None) is not None
        }
        try:
            drawn = chunk_program(experiment.model, experiment.preprocess, mesh)
            traced = jax.jit(drawn).trace(variables, key, start, given)
            return Program(traced, arguments, num)
        except UserError as error:  # the decoding first stage is not on this machine
            left_out = f'the way back to the data ({error})'
            drawn = chunk_program(experiment.model, Chain(), mesh)
            traced = jax.jit(drawn).trace(variables, key, start, given)
            return Program(traced, arguments, num, left_out=frozenset({left_out}))
    likelihoods = [e for e in experiment.evals.values() if isinstance(e, Likelihood)]
    if not likelihoods:
        raise UserError(
            'config.evals has no Likelihood: the other evaluators draw samples, --program=sample'
        )
    likelihood = likelihoods[0]
    num = -(-likelihood.batch_size // sharding.num_shares(mesh)) * sharding.num_shares(mesh)
    rows = sharding.rows(mesh)
    batch = {
        name: jax.ShapeDtypeStruct((num, *shape), dtype, sharding=rows)
        for name, (shape, dtype) in {**shapes, 'mask': ((), 'bool')}.items()
    }
    step = likelihood.program(experiment.model, experiment.preprocess)
    return Program(jax.jit(step).trace(variables, batch, key), {**arguments, 'batch': batch}, num)
