"""Series to plot: results by a field, and curves with a band over seeds."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genjax.reports import formatting
from genjax.reports.report import Report
from genjax.reports.statistics import Group, Outcome, order, outcome


@dataclass(frozen=True)
class Axis:
    """x axis: the values of the first field of `by`.

    Attributes:
        name: name of the field; '' without one.
        places: position of each value, sorted: numbers at their value, others at 0, 1, ...
        numeric: whether they are numbers.
        log: whether the axis is logarithmic.
    """

    name: str
    places: Mapping[Any, float]
    numeric: bool
    log: bool

    @property
    def labels(self) -> list[str]:
        """Formatted values."""
        return list(map(formatting.value, self.places))

    @property
    def numbers(self) -> list[float]:
        """Positions of the values."""
        return list(self.places.values())


@dataclass(frozen=True)
class Line:
    """Groups that differ only in the first field of `by`, in its order.

    Attributes:
        colour: settings that determine the line's colour.
        places: positions on the axis.
        groups: the groups.
        outcomes: their outcomes for the metric.
    """

    colour: str
    places: list[float]
    groups: list[Group]
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Band:
    """The mean of a curve over trials and its standard error, `[steps]` each."""

    steps: np.ndarray
    mean: np.ndarray
    stderr: np.ndarray


def axis_of(report: Report) -> Axis:
    if not report.by:
        return Axis('', {None: 0.0}, False, False)
    name = report.by[0]
    values = sorted({group.settings[name] for group in report.groups}, key=order)
    numeric = all(map(_is_number, values))
    places = {value: float(value if numeric else i) for i, value in enumerate(values)}
    return Axis(name, places, numeric, numeric and spans(values, 10))


def lines_of(report: Report, metric: str, axis: Axis) -> list[Line]:
    """Lines of a metric over the x axis."""
    found: dict[tuple, list[tuple[float, Group]]] = {}
    for group in report.groups:
        others = tuple(value for name, value in group.settings.items() if name != axis.name)
        x = axis.places[group.settings.get(axis.name)]
        found.setdefault(others, []).append((x, group))
    return [
        Line(
            colour_of(report, points[0][1]),
            [x for x, _ in points],
            [group for _, group in points],
            [outcome(group, metric) for _, group in points],
        )
        for points in (sorted(p, key=lambda point: point[0]) for p in found.values())
    ]


def colour_of(report: Report, group: Group) -> str:
    """Settings that determine a line's colour: the second field of `by`, or else all fields but the
    first.
    """
    names = report.by[1:] or report.fields[1:]
    return formatting.settings({name: group.settings[name] for name in names})


def band(group: Group, metric: str) -> Band | None:
    """Band over the complete trials of a group, at steps where all have a value; None if there are
    none.
    """
    curves = [
        {step: value for step, value in trial.curves.get(metric, []) if value is not None}
        for trial in group.trials
        if trial.status == 'complete'
    ]
    if not curves:
        return None
    steps = sorted(set.intersection(*map(set, curves)))
    if not steps:
        return None
    values = np.array([[curve[step] for step in steps] for curve in curves])
    n = len(curves)
    stderr = values.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(len(steps))
    return Band(np.array(steps), values.mean(0), stderr)


def curve_for(report: Report, metric: str) -> str | None:
    """Curve to show beside a metric: its own, that of an eval during training with a result of the
    same name, or the first loss.
    """
    names, last = curve_names(report), metric.rpartition('/')[2]
    during = {name for trial in report.trials for name in trial.during}
    same = [n for n in names if n.partition('/')[0] in during and n.rpartition('/')[2] == last]
    losses = [name for name in names if name.endswith('/loss')]
    wanted = [metric, metric.removeprefix('best/'), *same, *losses]
    return next((name for name in wanted if name in names), None)


def curve_names(report: Report) -> list[str]:
    """Metrics with a curve: evals during training first, speed metrics last."""
    names = dict.fromkeys(name for trial in report.trials for name in trial.curves)
    during = {name for trial in report.trials for name in trial.during}
    return sorted(names, key=lambda name: (name.partition('/')[0] not in during, '/' not in name))


def _is_number(value: Any) -> bool:
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    return kind and abs(value) <= sys.float_info.max


def spans(values: Iterable[float], ratio: float) -> bool:
    """True if max / min > ratio (use a log axis)."""
    values = list(values)
    return bool(values) and min(values) > 0 and max(values) / min(values) >= ratio


def thin(points: Sequence, most: int) -> list:
    """Returns about `most` evenly spaced points, the last included."""
    every = max(1, -(-len(points) // most))
    return list(points[::-1][::every])[::-1]
