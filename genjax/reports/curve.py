"""Results of one model over sampling options, as a table and a plot, e.g. a guidance curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from genjax.errors import plain
from genjax.files import replacing

Row = tuple[dict[str, Any], dict[str, float]]
"""Sampling options of a trial by path, and its results by name."""


def line(options: dict[str, Any], results: dict[str, float]) -> str:
    """Formats a trial in one line."""
    named = {**options, **results}
    return '  '.join(f'{name} {_text(value)}' for name, value in named.items())


def show(rows: Sequence[Row], title: str) -> None:
    """Prints a table with one line per trial."""
    fields, results = _names(rows, 0), _changing(rows)
    lines = [[*fields, *results]]
    for options, found in rows:
        cells = [options.get(n, '') for n in fields] + [found.get(n, '') for n in results]
        lines.append([_text(cell) for cell in cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(title)
    for cells in lines:
        print('  '.join(plain(c).rjust(w) for c, w in zip(cells, widths, strict=True)))


def save(rows: Sequence[Row], path: Path, title: str) -> None:
    """Plots each result that varies over the trials, against the option if it is a single number,
    else against the trial. A result `stderr` of the same eval gives error bars.
    """
    (fields, names) = _names(rows, 0), _changing(rows)
    shown = [name for name in names if not name.endswith('/stderr')] or names[:1]
    values = [options.get(fields[0]) for options, _ in rows]
    numeric = len(fields) == 1 and all(type(value) in (int, float) for value in values)
    places = values if numeric else list(range(len(rows)))
    figure = Figure(figsize=(4.6 * max(1, len(shown)), 3.6), layout='constrained')
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        error = f'{name.rpartition("/")[0]}/stderr'
        errors = [found.get(error, 0.0) for _, found in rows] if error in names else None
        axes.errorbar(
            places, [found.get(name) for _, found in rows], errors, fmt='o-', markersize=5,
            capsize=3,
        )  # fmt: skip
        if not numeric:
            labels = [
                ', '.join(f'{k}={_text(v)}' for k, v in options.items()) for options, _ in rows
            ]
            axes.set_xticks(places, labels, rotation=30, ha='right', fontsize=7)
        axes.set(xlabel=fields[0] if numeric else '', ylabel=name)
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    figure.suptitle(title, fontsize=9, color='0.4')
    with replacing(path) as temporary:
        figure.savefig(temporary, format='png', dpi=150)


def _names(rows: Sequence[Row], part: int) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row[part]))


def _changing(rows: Sequence[Row]) -> list[str]:
    """Results that are not equal in all trials."""
    names = _names(rows, 1)
    changing = [name for name in names if len({found.get(name) for _, found in rows}) > 1]
    return changing if changing else names


def _text(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
