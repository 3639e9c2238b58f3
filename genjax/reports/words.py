"""How numbers, fields and what is missing are written."""

from collections.abc import Mapping
from typing import Any

from genjax.reports.statistics import Estimate, Outcome

NONE = '–'


def number(value: float | None) -> str:
    """Five significant digits; a dash for None."""
    return NONE if value is None else f'{value:.5g}'


def interval(estimate: Estimate) -> str:
    """The 95 % interval, or a dash."""
    if estimate.low is None:
        return NONE
    return f'[{number(estimate.low)}, {number(estimate.high)}]'


def value(content: Any) -> str:
    """The value of a field: of a constructor, its name."""
    if content is None:
        return NONE
    if isinstance(content, tuple):
        return ', '.join(map(value, content))
    if isinstance(content, float):
        return f'{content:g}'
    text = str(content)
    return text.rpartition('.')[2] if text.startswith(('@', 'genjax.', 'optax.')) else text


def settings(fields: Mapping[str, Any]) -> str:
    """Fields with their values: `model.beta=0.5 seed=1`."""
    return ' '.join(f'{name}={value(content)}' for name, content in fields.items())


def missing(outcome: Outcome) -> str:
    """The trials that are not in a mean, by seed: `seed 1 failed: ...`."""
    return '; '.join(f'seed {value(trial.seed)} {why}' for trial, why in outcome.missing)


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours."""
    if seconds is None:
        return NONE
    for unit, size in (('h', 3600), ('min', 60)):
        if seconds >= size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'
