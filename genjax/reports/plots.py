"""Plots a report: for each metric, its values by a field, and its curves."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from genjax.errors import UserError
from genjax.reports import formatting, plot_series
from genjax.reports.report import Report

_LONGEST = 60  # characters of a name in a plot
_STYLE = {'markersize': 6, 'capsize': 3, 'linewidth': 1.6}


def save(report: Report, path: Path) -> None:
    """Writes a PNG with a row of two plots per metric.

    Raises:
        UserError: there is no metric yet.
    """
    if not report.metrics:
        raise UserError(f'the runs in {report.runs.path} have no metrics yet')
    with rc_context({'text.parse_math': False}):  # names may contain $
        _save(report, path)


def _save(report: Report, path: Path) -> None:
    rows = len(report.metrics)
    figure = Figure(figsize=(11, 3.9 * rows), layout='constrained')
    for row, metric in zip(figure.subplots(rows, 2, squeeze=False), report.metrics, strict=True):
        _values(row[0], report, metric)
        _curves(row[1], report, metric)
        for axes in row:
            axes.spines[['top', 'right']].set_visible(False)
            axes.grid(alpha=0.25, linewidth=0.6)
    figure.savefig(path, format='png', dpi=150)


def _values(axes: Axes, report: Report, metric: str) -> None:
    """Plots means with 95 % intervals, and each seed as a dot."""
    axis = plot_series.axis_of(report)
    lines = plot_series.lines_of(report, metric, axis)
    colours = _colours([line.colour for line in lines])
    beside = axes.transData + ScaledTranslation(7 / 72, 0, axes.figure.dpi_scale_trans)
    shown, every = set(), []
    for line in lines:
        colour = colours[line.colour]
        found = [(x, o) for x, o in zip(line.places, line.outcomes, strict=True) if o.estimate.n]
        for x, outcome in found:
            values = list(outcome.values.values())
            every += values
            axes.plot(
                [x] * len(values), values, '.', color=colour, alpha=0.55, ms=5, transform=beside
            )
        estimates = [outcome.estimate for _, outcome in found]
        errors = [0.0 if e.low is None else e.mean - e.low for e in estimates]
        label = _short(line.colour) if line.colour not in shown else None
        shown.add(line.colour)
        axes.errorbar(
            [x for x, _ in found], [e.mean for e in estimates], errors,
            fmt='o-' if axis.numeric else 'o', color=colour, label=label or None, **_STYLE,
        )  # fmt: skip
    if axis.log:
        axes.set_xscale('log')
    if axis.log or not axis.numeric or len(axis.numbers) <= 8:
        axes.set_xticks(axis.numbers, list(map(_short, axis.labels)))
        axes.minorticks_off()
    if not axis.numeric:
        axes.set_xlim(-0.5, len(axis.numbers) - 0.5)
    if plot_series.spans(every, 100):
        axes.set_yscale('log')
        formatting.log_ticks(axes.yaxis)
    axes.set(xlabel=_short(axis.name), ylabel=_short(metric))
    axes.set_title('mean, 95 % interval, single seeds', fontsize=9, color='0.4')
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8, frameon=False)


def _curves(axes: Axes, report: Report, metric: str) -> None:
    """Plots the mean curve of each group with its standard error, and unfinished trials."""
    name = plot_series.curve_for(report, metric)
    if name is None:
        axes.set_axis_off()
        return
    labels = [formatting.settings(group.settings) for group in report.groups]
    colours = _colours(labels)
    every: list[float] = []
    for label, group in zip(labels, report.groups, strict=True):
        band = plot_series.band(group, name)
        if band is not None:
            marker = (
                'o-' if len(band.steps) == 1 else '-'
            )  # a line with a single point is invisible
            axes.plot(
                band.steps,
                band.mean,
                marker,
                color=colours[label],
                label=_short(label) or None,
                markersize=4,
            )
            low, high = band.mean - band.stderr, band.mean + band.stderr
            axes.fill_between(band.steps, low, high, color=colours[label], alpha=0.2, linewidth=0)
            every += band.mean.tolist()
        for trial in group.trials:
            if trial.status != 'complete' and name in trial.curves:
                steps, values = zip(*trial.curves[name], strict=True)
                values = np.array(values, float)
                axes.plot(steps, values, ':', color=colours[label], linewidth=1)
    if plot_series.spans(every, 100):
        axes.set_yscale('log')
        formatting.log_ticks(axes.yaxis)
    axes.set(xlabel='step', ylabel=_short(name))
    axes.set_title(
        'mean ± standard error over seeds; dotted: not complete', fontsize=9, color='0.4'
    )
    if axes.get_legend_handles_labels()[1] and len(labels) <= 12:
        axes.legend(fontsize=7, frameon=False)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f'{name[: _LONGEST - 1]}…'


def _colours(names: list[str]) -> dict[str, tuple]:
    """Distinct colours for the names if there are enough, else a colour scale."""
    names = list(dict.fromkeys(names))
    if len(names) <= 10:
        return {name: colormaps['tab10'](i) for i, name in enumerate(names)}
    scale = colormaps['viridis']
    return {name: scale(i / (len(names) - 1) * 0.9) for i, name in enumerate(names)}
