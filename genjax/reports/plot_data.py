"""Data for the plots that the page's script draws."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from genjax.reports import formatting, plot_series
from genjax.reports.report import Report
from genjax.reports.statistics import Group

_MOST_POINTS = 120
"""Approximate maximum number of points per curve."""


def json_of(report: Report) -> str:
    """Content of every plot, as JSON that is safe inside a script element."""
    axis = plot_series.axis_of(report)
    grids: dict[tuple[int, ...], int] = {}
    colours = [plot_series.colour_of(report, group) for group in report.groups]
    content = {
        'axis': {
            'name': axis.name,
            'labels': axis.labels,
            'numbers': axis.numbers,
            'numeric': axis.numeric,
            'log': axis.log,
        },
        'colours': list(dict.fromkeys(colours)),
        'labels': [formatting.settings(group.settings) for group in report.groups],
        'values': {metric: _values(report, metric, axis) for metric in report.metrics},
        'curves': {
            name: [_curve(group, name, grids) for group in report.groups]
            for name in plot_series.curve_names(report)
        },
    }
    content['grids'] = list(grids)
    text = json.dumps(_finite(content), separators=(',', ':'), allow_nan=False)
    for character in '<>&':  # `</script>`, and `<!--` before `<script>`, end or hide the element
        text = text.replace(character, f'\\u{ord(character):04x}')
    return text


def _values(report: Report, metric: str, axis: plot_series.Axis) -> dict[str, Any]:
    lines, every = [], []
    for line in plot_series.lines_of(report, metric, axis):
        points = []
        for x, group, outcome in zip(line.places, line.groups, line.outcomes, strict=True):
            if outcome.values:
                every += outcome.values.values()
                label = formatting.settings(group.settings)
                seeds = list(outcome.values.items())
                points.append({'x': x, 'label': label, 'seeds': seeds, **asdict(outcome.estimate)})
        lines.append({'colour': line.colour, 'points': points})
    return {'log': plot_series.spans(every, 100), 'lines': lines}


def _curve(group: Group, name: str, grids: dict[tuple[int, ...], int]) -> dict[str, Any]:
    """Mean and trials of a group. Curves with the same steps share an entry of `grids`."""

    def grid(steps: Sequence[int]) -> int:
        return grids.setdefault(tuple(map(int, steps)), len(grids))

    band = plot_series.band(group, name)
    points = [] if band is None else list(zip(band.steps, band.mean, band.stderr, strict=True))
    steps, mean, stderr = list(zip(*plot_series.thin(points, _MOST_POINTS), strict=True)) or (
        (),
        (),
        (),
    )
    trials = []
    for trial in group.trials:
        if name in trial.curves:
            at, values = zip(*plot_series.thin(trial.curves[name], _MOST_POINTS), strict=True)
            complete = trial.status == 'complete'
            rounded = list(map(_round, values))
            trials.append({'grid': grid(at), 'values': rounded, 'complete': complete})
    return {
        'label': formatting.settings(group.settings),
        'n': sum(trial['complete'] for trial in trials),
        'grid': grid(steps),
        'mean': list(map(_round, mean)),
        'stderr': list(map(_round, stderr)),
        'trials': trials,
    }


def _finite(content: Any) -> Any:
    """Replaces non-finite numbers, such as an overflowed mean, by None."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return list(map(_finite, content))
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _round(value: float | None) -> float | None:
    return None if value is None else float(f'{value:.5g}')
