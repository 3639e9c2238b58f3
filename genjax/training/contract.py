"""Checks the interfaces of user-defined models, data sets, preprocessing and evaluators: each error
names the method and its output.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.data.sources import Dataset, Source
from genjax.errors import UserError, described, nearest, shape_of
from genjax.evaluation.base import Evaluator, FunctionEvaluator
from genjax.models.base import (
    GenerativeModel,
    LogProb,
    LossOutput,
    Phase,
    Variables,
    average_states,
)

_BATCH = ('x', 'label', 'mask', 'context')
_ABSENT = object()


def check_parts(dataset: Any, model: Any, optimizer: Any) -> list[str]:
    """Raises UserError if a part of an experiment lacks a method or attribute, or a method does not
    take the arguments of its calls. Returns the names of the model's phases.
    """
    _has(dataset, 'a data set', 'event_shape', 'num_classes', 'source')
    _takes(dataset, 'source', 'train')
    _has(model, 'a model', 'phases', 'init')
    _takes(model, 'init', 'key', 'batch')
    if callable(getattr(model, 'sample', None)):
        _takes(model, 'sample', 'variables', 'key', 1, **_given(model, 1))
    if callable(getattr(model, 'log_prob', None)):
        _takes(model, 'log_prob', 'variables', 'x', 'key')
    many = optimizer.values() if isinstance(optimizer, Mapping) else (optimizer,)
    for one in many:
        _has(one, 'an optax optimizer', 'init', 'update')
    _check_phases(model, model.phases)
    return [phase.name for phase in model.phases]


def check_evaluator(evaluator: Evaluator) -> None:
    """Raises UserError if an evaluator does not take the arguments of its calls."""
    function = evaluator.function if isinstance(evaluator, FunctionEvaluator) else evaluator
    _takes(function, '__call__', 'model', 'variables', 'data', 'key')


def _check_phases(model: GenerativeModel, phases: Any) -> None:
    where = f'{type(model).__name__}.phases'
    if not isinstance(phases, tuple) or not phases:
        raise UserError(f'{where} must be a tuple of Phase, not {described(phases)}')
    names = [getattr(phase, 'name', None) for phase in phases]
    for phase in phases:
        if not isinstance(phase, Phase):
            raise UserError(f'{where} must be a tuple of Phase, and has {described(phase)}')
        if not isinstance(phase.trains, tuple) or not phase.trains:
            raise UserError(
                f'{where}: trains of {phase.name!r} must be a tuple of parameter groups,'
                f' not {phase.trains!r}'
            )
        if not isinstance(phase.repeats, int) or phase.repeats < 1:
            raise UserError(
                f'{where}: repeats of {phase.name!r} must be at least 1, not {phase.repeats!r}'
            )
        if names.count(phase.name) > 1:
            raise UserError(f'{where} has two of the name {phase.name!r}')
        if not callable(phase.loss):
            raise UserError(f'{where}: loss of {phase.name!r} is {described(phase.loss)}')
        _takes(phase, 'loss', 'variables', 'batch', 'key', *['handed'] * phase.takes_over)
    for before, phase in zip((None, *phases), phases, strict=False):
        if phase.takes_over and (before is None or before.repeats != 1 or phase.repeats != 1):
            raise UserError(
                f'{where}: {phase.name!r} takes over from the phase before it, and both must have'
                ' repeats=1'
            )


def check_source(dataset: Dataset, source: Source) -> None:
    """Raises UserError unless `source` and its first two examples have the format of a data set."""
    where = f'{type(dataset).__name__}.source'
    _has(source, f'what {where} returns', '__len__', '__getitem__', 'fingerprint', 'in_memory')
    if not len(source):
        raise UserError(f'{type(dataset).__name__}: the train split is empty')
    num = min(2, len(source))
    batch, where = source[np.arange(num)], f"{where}('train')[indices]"
    if not isinstance(batch, Mapping) or 'x' not in batch:
        raise UserError(f'{where} must return a dict with x, not {described(batch)}')
    for name, array in batch.items():
        if name not in _BATCH:
            raise UserError(f'{where} returned {name!r}{nearest(name, _BATCH)}; it may be one of '
                            + ', '.join(_BATCH))  # fmt: skip
        if not isinstance(array, np.ndarray) or array.dtype.kind not in 'biuf':
            raise UserError(
                f'{where} must return arrays of numbers, and {name!r} is {described(array)}'
            )
        if array.shape[:1] != (num,):
            raise UserError(
                f'{where} of {num} indices must return {num} rows, and {name!r} is'
                f' {described(array)}'
            )
    if 'label' in batch and (batch['label'].ndim != 1 or batch['label'].dtype.kind not in 'iu'):
        raise UserError(
            f"{where} must return whole numbers [{num}] as 'label', not {described(batch['label'])}"
        )
    if tuple(dataset.event_shape) != batch['x'].shape[1:]:
        raise UserError(
            f'{type(dataset).__name__}.event_shape is {tuple(dataset.event_shape)}, and an x has'
            f' {batch["x"].shape[1:]}'
        )
    stated = getattr(dataset, 'context_shape', None)
    found = batch['context'].shape[1:] if 'context' in batch else None
    if (None if stated is None else tuple(stated)) != found:
        raise UserError(
            f'{type(dataset).__name__}.context_shape is {stated}, and the context of an example has'
            f' {found}'
        )


def preprocessed(preprocess: Callable, x: Any, key: Any) -> tuple[Any, Any]:
    """`preprocess(x, key)`, checked step by step; runs under `jax.eval_shape`."""
    y = x
    for step in getattr(preprocess, 'steps', ()):
        name = f'{type(step).__name__}.__call__'
        _takes(step, '__call__', 'x', 'key')
        result = step(y, key)
        if not isinstance(result, tuple) or len(result) != 2:
            raise UserError(f'{name} must return (y, log_det), not {described(result)}')
        if shape_of(result[1]) != y.shape[:1]:
            raise UserError(f'{name} must return a log_det [{len(y)}], not {described(result[1])}')
        if not callable(getattr(step, 'inverse', None)):
            raise UserError(f'{type(step).__name__} has no inverse(y)')
        y = result[0]
    return preprocess(x, key)


def checked_variables(model: GenerativeModel, variables: Any) -> Variables:
    """Returns the output of `model.init`; raises UserError unless it has the parameters of all
    phases.
    """
    where = f'{type(model).__name__}.init'
    if not isinstance(variables, Mapping) or set(variables) != {'params', 'state'}:
        raise UserError(f"{where} must return {{'params': …, 'state': …}}, not"
                        f' {described(variables)}')  # fmt: skip
    for name, tree in variables.items():
        if not isinstance(tree, Mapping):
            raise UserError(f'{where}: {name!r} must be a dict of groups, not {described(tree)}')
    for phase in model.phases:
        for group in phase.trains:
            if group not in variables['params']:
                groups = ', '.join(variables['params']) or 'none'
                raise UserError(
                    f'{type(model).__name__}.phases: {phase.name!r} trains {group!r}, and the'
                    f' parameter groups of init are {groups}{nearest(group, variables["params"])}'
                )
    return variables


def checked_loss(phase: Phase, output: Any, size: int, state: Any) -> LossOutput:
    """Returns the output of a phase's loss for `size` examples; raises UserError unless it is a
    `LossOutput` with a loss per example and the model's state, or the state that its own `merge`
    takes.
    """
    where = f'the loss of the phase {phase.name!r} ({_name(phase.loss)})'
    if not isinstance(output, LossOutput):
        raise UserError(f'{where} must return LossOutput(values, metrics, state), not'
                        f' {described(output)}')  # fmt: skip
    values = output.values
    if shape_of(values) != (size,) or not jnp.issubdtype(values.dtype, jnp.floating):
        raise UserError(f'{where} must return values [B], here float32[{size}], a loss of each'
                        f' example, not {described(values)}')  # fmt: skip
    if not isinstance(output.metrics, Mapping):
        raise UserError(f'{where} must return a dict of metrics, not {described(output.metrics)}')
    for name, metric in output.metrics.items():
        if shape_of(metric) not in ((), (size,)):
            raise UserError(
                f'{where}: the metric {name!r} must be [B] or a number, not {described(metric)}'
            )
    if phase.merge is average_states:
        _check_state(where, state, output.state)
    return output


def checked_state(phase: Phase, before: Any, after: Any) -> Any:
    """Returns the output of a phase's `merge`; raises UserError unless it is the whole state."""
    _check_state(f'merge of the phase {phase.name!r} ({_name(phase.merge)})', before, after)
    return after


def _check_state(where: str, before: Any, after: Any) -> None:
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise UserError(
            f"{where} must return the state of the model whole, as variables['state'] has it:"
            f' {described(before)}, not {described(after)}'
        )
    for (path, old), new in zip(
        jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
    ):
        if shape_of(old) != shape_of(new) or jnp.result_type(old) != jnp.result_type(new):
            place = jax.tree_util.keystr(path)
            raise UserError(f'{where}: state{place} became {described(new)}, of {described(old)}')


def check_abilities(model: GenerativeModel, variables: Any, x: jax.ShapeDtypeStruct) -> None:
    """Traces sampling and log-likelihood of a user-defined model on preprocessed examples x; raises
    UserError unless the shapes are right. genjax's tests cover its own models.
    """
    if type(model).__module__.partition('.')[0] == 'genjax':
        return
    name, key = type(model).__name__, jax.random.key(0)
    if callable(getattr(model, 'sample', None)):
        drawn = jax.eval_shape(lambda v: model.sample(v, key, 3, **_given(model, 3)), variables)
        if shape_of(drawn) != (3, *x.shape[1:]):
            raise UserError(
                f'{name}.sample of 3 must return [3, *event], here {[3, *x.shape[1:]]}, not'
                f' {described(drawn)}'
            )
    if callable(getattr(model, 'log_prob', None)):
        context = {name: a for name, a in _given(model, len(x)).items() if name == 'context'}
        result = jax.eval_shape(lambda v, x: model.log_prob(v, x, key, **context), variables, x)
        if not isinstance(result, LogProb):
            raise UserError(f'{name}.log_prob must return LogProb(value, kind), not'
                            f' {described(result)}')  # fmt: skip
        if result.value.shape != x.shape[:1]:
            raise UserError(
                f'{name}.log_prob must return a value [B], here [{len(x)}], not'
                f' {described(result.value)}'
            )
        if result.kind not in ('exact', 'lower_bound', 'estimate'):
            raise UserError(
                f"{name}.log_prob: the kind is 'exact', 'lower_bound' or 'estimate', not"
                f' {result.kind!r}'
            )


def _given(model: GenerativeModel, num: int) -> dict[str, Any]:
    """The label or context with which a model is sampled, by name; None for one without either."""
    if (shape := getattr(model, 'context_shape', None)) is not None:
        return {'context': jnp.zeros((num, *shape))}
    if getattr(model, 'num_classes', None) is None:
        return {'label': None}
    return {'label': jnp.zeros(num, jnp.int32)}


def _name(function: Any) -> str:
    return getattr(function, '__qualname__', None) or type(function).__name__


def _has(part: Any, kind: str, *names: str) -> None:
    # Static lookup: a property may read the data.
    missing = [n for n in names if inspect.getattr_static(part, n, _ABSENT) is _ABSENT]
    if missing:
        raise UserError(f'{described(part)} is not {kind}: it has no {", ".join(missing)}')


def _takes(part: Any, method: str, *args: Any, **options: Any) -> None:
    function = part if method == '__call__' else getattr(part, method)
    if method == '__call__' and not callable(part):
        raise UserError(f'{described(part)} cannot be called with ({", ".join(map(str, args))})')
    if not callable(function):
        raise UserError(f'{type(part).__name__}.{method} is {described(function)}, not a method')
    try:
        inspect.signature(function).bind(*args, **options)
    except TypeError as error:
        words = [str(arg) for arg in args] + [f'{name}=' for name in options]
        where = _name(part) if method == '__call__' else f'{type(part).__name__}.{method}'
        raise UserError(f'{where} is called with ({", ".join(words)}): {error}') from None
    except ValueError:  # a builtin without a signature
        return
