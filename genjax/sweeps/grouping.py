"""Which trials one program can train: those that differ only in numbers that enter arithmetic."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

from genjax import config as configs
from genjax.errors import UserError
from genjax.sweeps.population import Population, PopulationPrograms
from genjax.sweeps.trials import Trial
from genjax.training.programs import Example

_OF_THE_STEP = ('model', 'optimizer', 'preprocess', 'clip_norm', 'ema', 'seed')
"""The parts of a config that the step reads and the loop does not, but for the seed."""

_ABSENT = object()


def populations_of(
    trials: Sequence[Trial],
    example_of: Callable[[Trial], Example],
    devices: Sequence[jax.Device],
    largest: int,
) -> list[Population]:
    """Splits trials into as few populations as can be.

    A field goes into the program as an array if the program can be traced with it; what decides a
    shape or what is computed cannot, and splits the trials.

    Args:
        trials: all of them can run.
        example_of: finds the shapes of the data of a trial.
        devices: to train on.
        largest: how many members a population has at most.
    """
    if not trials:
        return []
    varying = varying_fields(trials)
    splitting = [name for name in varying if not _may_be_traced(trials, name)]
    if not splitting:
        if _traces(trials, varying, example_of, devices):
            return [
                Population(tuple(trials[i : i + largest]), tuple(varying))
                for i in range(0, len(trials), largest)
            ]
        alone = [name for name in varying if not _traces(trials, [name], example_of, devices)]
        splitting = alone or varying[:1]
    parts = _parts(trials, splitting)
    return [p for part in parts for p in populations_of(part, example_of, devices, largest)]


def varying_fields(trials: Sequence[Trial]) -> list[str]:
    """The paths of the fields in which the configs of trials differ, in order."""
    rows = _rows(trials)
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if len({repr(row.get(name, _ABSENT)) for row in rows}) > 1]


def told(populations: Sequence[Population]) -> str:
    """What to say of the programs: how many there are, what splits them, and what does not."""
    trials = [trial for population in populations for trial in population.trials]
    together = {name for population in populations for name in population.traced}
    splitting = [name for name in varying_fields(trials) if name not in together]
    text = f'{len(trials)} trials in {len(populations)} program(s)'
    if together:
        text += f'; traced: {", ".join(sorted(together))}'
    if splitting:
        text += f'; a program for each value: {", ".join(splitting)}'
    return text


def _rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    return [dict(configs.leaves(trial.config)) for trial in trials]


def _parts(trials: Sequence[Trial], names: Iterable[str]) -> list[list[Trial]]:
    parts = defaultdict(list)
    for trial, row in zip(trials, _rows(trials), strict=True):
        key = json.dumps([row.get(name, 'absent') for name in names])
        parts[key].append(trial)
    return list(parts.values())


def _may_be_traced(trials: Sequence[Trial], name: str) -> bool:
    """Whether all trials have a number there, or as many numbers, and only the step reads them."""
    if name.partition('.')[0] not in _OF_THE_STEP:
        return False
    values = [row.get(name) for row in _rows(trials)]
    shapes = {len(value) if isinstance(value, tuple) else None for value in values}
    numbers = [n for value in values for n in (value if isinstance(value, tuple) else (value,))]
    return len(shapes) == 1 and all(type(number) in (int, float) for number in numbers)


def _traces(
    trials: Sequence[Trial],
    names: Sequence[str],
    example_of: Callable[[Trial], Example],
    devices: Sequence[jax.Device],
) -> bool:
    try:
        PopulationPrograms(Population(tuple(trials), tuple(names)), example_of(trials[0]), devices)
    except (TypeError, ValueError, OverflowError, UserError):
        return False
    return True
