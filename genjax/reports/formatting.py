"""Formats numbers, fields and missing values."""

from collections.abc import Mapping, Sequence
from typing import Any

from genjax.reports.load import Trial
from genjax.reports.statistics import Comparison, Estimate, Outcome

NONE = '–'
ESTIMATE = ('seeds', 'mean', 'std. error', '95 % interval')
"""Column heads for the cells of `estimate`."""


def number(value: float | None, digits: int = 5) -> str:
    """Formats a number to `digits` significant digits, large ones as 130,200; a dash for None."""
    if value is None:
        return NONE
    text = f'{value:.{digits}g}'
    if ('e+' in text or abs(float(text)) >= 1e4) and abs(float(text)) < 1e9:
        text = f'{float(text):,.0f}'
    return text.replace('-', '−')


def log_ticks(axis: Any) -> None:
    """Labels the ticks of a logarithmic axis of matplotlib with numbers rather than powers, which
    it writes in mathematical notation; between powers of ten where there are few of these.
    """
    low, high = axis.get_view_interval()
    axis.set_major_formatter(lambda value, _: number(value))
    axis.set_minor_formatter(axis.get_major_formatter() if high < 10 * low else '')


def estimate(found: Estimate) -> list[str]:
    """Table cells: seeds, mean, standard error, interval."""
    ends = f'[{number(found.low)}, {number(found.high)}]' if found.low is not None else NONE
    return [str(found.n), number(found.mean), number(found.stderr, 2), ends]


def comparisons(found: Sequence[Comparison], field: str) -> tuple[list[str], list[list[str]]]:
    """Column heads and rows of a table of differences, such as `4 − 0.5`."""
    others = list(found[0].others or found[-1].others or {})
    heads = [field, *others, 'pairs', *ESTIMATE]
    rows = [
        [
            f'{value(c.second)} − {value(c.first)}',
            *(value(c.others[name]) if c.others is not None else 'mean' for name in others),
            str(c.pairs),
            *estimate(c.estimate),
        ]
        for c in found
    ]
    return heads, rows


def value(content: Any) -> str:
    """Formats the value of a field; a constructor by its name."""
    if content is None:
        return NONE
    if isinstance(content, tuple):
        return ', '.join(map(value, content))
    if isinstance(content, float):
        short = f'{content:g}'
        return short if float(short) == content else str(content)
    text = str(content)
    return text.rpartition('.')[2] if text.startswith(('@', 'genjax.', 'optax.')) else text


def settings(fields: Mapping[str, Any]) -> str:
    """Formats fields with their values: `model.beta=0.5 seed=1`."""
    return ' '.join(f'{name}={value(content)}' for name, content in fields.items())


def missing(outcome: Outcome) -> str:
    """Formats the trials missing from a mean, by seed: `seed 1 failed: ...`."""
    return '; '.join(f'seed {value(trial.seed)} {why}' for trial, why in outcome.missing)


def duration(seconds: float | None) -> str:
    """Formats seconds as seconds, minutes or hours."""
    if seconds is None:
        return NONE
    for unit, size in (('h', 3600), ('min', 60)):
        if seconds >= size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'


def commit(trial: Trial) -> str:
    """Short commit of a trial's last start; + marks uncommitted changes."""
    whole = (trial.starts[-1].get('commit') if trial.starts else None) or NONE
    name, changed, _ = whole.partition('+')
    return name[:10] + changed
