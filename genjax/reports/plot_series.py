"""What plots show: results by a field, and curves with a band over seeds."""

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
    """The values of the first field of `by`.

    Attributes:
        name: of the field; '' without one.
        places: where each of its values lies, sorted: numbers at themselves, others at 0, 1, ...
        numeric: whether they are numbers.
        log: whether the axis is logarithmic.
    """

    name: str
    places: Mapping[Any, float]
    numeric: bool
    log: bool

    @property
    def labels(self) -> list[str]:
        """The values in words."""
        return list(map(formatting.value, self.places))

    @property
    def numbers(self) -> list[float]:
        """Where they lie."""
        return list(self.places.values())


@dataclass(frozen=True)
class Line:
    """The groups that differ in the first field of `by` only, in its order.

    Attributes:
        colour: what gives the line its colour.
        places: on the axis.
        groups: those groups.
        outcomes: of the metric.
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
    """The x axis."""
    if not report.by:
        return Axis('', {None: 0.0}, False, False)
    name = report.by[0]
    values = sorted({group.settings[name] for group in report.groups}, key=order)
    numeric = all(map(_is_number, values))
    places = {value: float(value if numeric else i) for i, value in enumerate(values)}
    return Axis(name, places, numeric, numeric and spans(values, 10))


def lines_of(report: Report, metric: str, axis: Axis) -> list[Line]:
    """A metric by the x axis."""
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
    """What gives a line its colour: the second field of `by`, or else all but the first."""
    names = report.by[1:] or report.fields[1:]
    return formatting.settings({name: group.settings[name] for name in names})


def band(group: Group, metric: str) -> Band | None:
    """Over the complete trials of a group, at the steps where all have a value; None: nowhere."""
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
    """The curve to show beside a metric: its own, that of an eval during training with a result of
    the same name, or the first loss.
    """
    names, last = curve_names(report), metric.rpartition('/')[2]
    during = {name for trial in report.trials for name in trial.during}
    same = [n for n in names if n.partition('/')[0] in during and n.rpartition('/')[2] == last]
    losses = [name for name in names if name.endswith('/loss')]
    wanted = [metric, metric.removeprefix('best/'), *same, *losses]
    return next((name for name in wanted if name in names), None)


def curve_names(report: Report) -> list[str]:
    """All metrics that have a curve: evals during training first, what tells of speed last."""
    names = dict.fromkeys(name for trial in report.trials for name in trial.curves)
    during = {name for trial in report.trials for name in trial.during}
    return sorted(names, key=lambda name: (name.partition('/')[0] not in during, '/' not in name))


def _is_number(value: Any) -> bool:
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    return kind and abs(value) <= sys.float_info.max


def spans(values: Iterable[float], ratio: float) -> bool:
    """Whether positive values lie further apart than by a factor."""
    values = list(values)
    return bool(values) and min(values) > 0 and max(values) / min(values) >= ratio


def thin(points: Sequence, most: int) -> list:
    """At most about so many of the points, evenly chosen, with the last."""
    every = max(1, -(-len(points) // most))
    return list(points[::-1][::every])[::-1]
