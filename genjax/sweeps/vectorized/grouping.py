"""Groups trials that one program can train: those differing only in numbers used in arithmetic."""

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from genjax.models.base import Batch
from genjax.sweeps.trials import Trial
from genjax.sweeps.vectorized.program import Population
from genjax.training.experiment import Experiment, experiment_of
from genjax.training.programs import Example
from genjax.training.state import TrainState, init_state
from genjax.training.step import Metrics, train_step

_OF_THE_STEP = ('model', 'optimizer', 'preprocess', 'clip_norm', 'ema', 'seed')
"""The parts of a config that only the step reads, not the loop; besides the seed."""

_ABSENT = object()


def populations_of(
    trials: Sequence[Trial],
    example_of: Callable[[Trial], Example],
    largest: int,
) -> list[Population]:
    """Splits trials into as few populations as possible.

    A field becomes an array argument of the program if the program can be traced with it. Fields
    that determine shapes or control flow cannot, and split the trials.

    Args:
        trials: trials, all checked to run.
        example_of: returns the shapes of a trial's data.
        largest: most members per population.
    """
    if not trials:
        return []
    varying = varying_fields(trials)

    def traces(names: Sequence[str]) -> bool:
        return _traces(Population(tuple(trials), tuple(names)), example_of(trials[0]))

    rows = _rows(trials)
    parts = _parts(trials, [[_kind(name, row) for name in varying] for row in rows])
    if len(parts) == 1:
        if traces(varying):
            return [
                Population(tuple(trials[i : i + largest]), tuple(varying))
                for i in range(0, len(trials), largest)
            ]
        alone = [name for name in varying if not traces([name])]
        # Zero may switch a term off: try to group zero and non-zero trials separately.
        switches = [name for name in alone if len(set(_are_zero(trials, [name]))) > 1]
        if switches:
            parts = _parts(trials, _are_zero(trials, switches))
        else:
            splitting = alone or varying[:1]
            parts = _parts(trials, [[row.get(name) for name in splitting] for row in rows])
    return [p for part in parts for p in populations_of(part, example_of, largest)]


def varying_fields(trials: Sequence[Trial]) -> list[str]:
    """Paths of the fields in which the trials' configs differ, in order."""
    rows = _rows(trials)
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if len({repr(row.get(name, _ABSENT)) for row in rows}) > 1]


def summary(populations: Sequence[Population]) -> list[str]:
    """Describes each program in one line: its own fields, and those traced as arrays."""
    trials = [trial for population in populations for trial in population.trials]
    varying = varying_fields(trials)
    lines = [f'{len(trials)} trials in {len(populations)} program(s)']
    for number, population in enumerate(populations, 1):
        (first, *_), own = _rows(population.trials), varying_fields(population.trials)
        fixed = ' '.join(f'{name}={first.get(name)}' for name in varying if name not in own)
        line = f'program {number}: {len(population.trials)} trials'
        line += f', {fixed}' if fixed else ''
        lines.append(line + (f'; traced: {", ".join(own)}' if own else ''))
    return lines


def _rows(trials: Sequence[Trial]) -> list[Mapping[str, Any]]:
    return [trial.fields for trial in trials]


def _parts(trials: Sequence[Trial], keys: Sequence[Any]) -> list[list[Trial]]:
    """Trials grouped by key, in order."""
    parts = defaultdict(list)
    for trial, key in zip(trials, keys, strict=True):
        parts[repr(key)].append(trial)
    return list(parts.values())


def _are_zero(trials: Sequence[Trial], names: Sequence[str]) -> list[tuple[bool, ...]]:
    """For each trial, whether each of the fields is zero."""
    return [tuple(row.get(name) == 0 for name in names) for row in _rows(trials)]


def _kind(name: str, row: Mapping[str, Any]) -> Any:
    """Key that trials of one program share in a field: for numbers that only the step reads, their
    count; else the value.
    """
    value = row.get(name, _ABSENT)
    if re.split(r'[.\[]', name)[0] in _OF_THE_STEP:
        numbers = value if isinstance(value, tuple) else (value,)
        if all(type(number) in (int, float) for number in numbers):
            return ('numbers', len(value) if isinstance(value, tuple) else None)
    return value


def _traces(population: Population, example: Example) -> bool:
    """Returns whether one program, traced with these fields, is valid for every member: a zero,
    which may switch a term off, changes neither the state nor the metrics.
    """
    first = experiment_of(population.trials[0].config)
    batch = {
        name: jax.ShapeDtypeStruct((first.rows_per_step, *shape), dtype)
        for name, (shape, dtype) in example.items()
    }
    size = len(population.trials)
    batches = {k: jax.ShapeDtypeStruct((size, *a.shape), a.dtype) for k, a in batch.items()}
    patterns = _are_zero(population.trials, [n for n in population.traced if n != 'seed'])
    representatives = dict(zip(patterns, _rows(population.trials), strict=True))
    try:
        step = jax.vmap(lambda values, batch: _first_step(population.member(values), batch))
        wanted = _shapes(jax.eval_shape(step, population.values(size), batches), skipped=1)
        members = [
            population.member({name: row[name] for name in population.traced})
            for row in representatives.values()
        ]
        return all(
            _shapes(jax.eval_shape(functools.partial(_first_step, member), batch)) == wanted
            for member in members
        )
    except Exception:  # any failure on a tracer; concrete numbers have been checked
        return False


def _first_step(experiment: Experiment, batch: Batch) -> tuple[TrainState, Metrics]:
    return train_step(experiment, init_state(experiment, batch), batch)


def _shapes(tree: Any, skipped: int = 0) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): (a.shape[skipped:], a.dtype) for path, a in leaves}
