"""Cards: what the standard evals found, by quality, diversity, novelty, likelihood and speed."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genjax.errors import UserError
from genjax.protocols import check_same, fields_of, protocol
from genjax.reports import formatting, markdown
from genjax.reports.report import Report
from genjax.reports.statistics import Estimate, Group, outcome

AXES = {
    'Quality': ('fd/distance', 'fd/extrapolated', 'kid/kid', 'prdc/precision', 'prdc/density'),
    'Diversity': ('prdc/recall', 'prdc/coverage', 'vendi/vendi', 'vendi/vendi_data'),
    'Novelty': ('copying/z', 'copying/c_t', 'copying/authenticity', 'copying/authenticity_data'),
    'Classification': ('accuracy/accuracy', 'accuracy/nll', 'accuracy/ece', 'accuracy/brier'),
    'Likelihood': ('likelihood/bits_per_dim', 'likelihood/nll'),
    'Speed': (
        'speed/samples_per_s',
        'speed/ms_one_sample',
        'speed/network_evaluations',
        'speed/gflops_per_sample',
    ),
    'Size and cost': ('speed/parameters', 'steps', 'device hours'),
}
"""Results of the evals of `genjax.evaluation.Card`, and of the training, by what they measure."""

NOTE = (
    'Means over seeds ± their standard error; of a single run, its own. Better is more ↑ or less ↓;'
    ' below z = −3 or c_t = −3 samples copy training data.'
)

_MORE = {
    'prdc/precision', 'prdc/density', 'prdc/recall', 'prdc/coverage', 'vendi/vendi',
    'accuracy/accuracy', 'speed/samples_per_s',
}  # fmt: skip
_UNSORTED = {'vendi/vendi_data', 'speed/parameters', 'steps', 'device hours', *AXES['Novelty']}
"""Results of which more is better, and those without a better; of the others less is better."""

_ERRORS = {
    'fd/distance': 'fd/stderr',
    'fd/extrapolated': 'fd/extrapolated_stderr',
    'kid/kid': 'kid/stderr',
    'likelihood/nll': 'likelihood/stderr',
    'accuracy/accuracy': 'accuracy/stderr',
    **{f'prdc/{name}': f'prdc/{name}_stderr' for name in ('precision', 'recall', 'coverage')},
}
"""The standard error of a result within a run."""


def with_costs(report: Report) -> Report:
    """Returns the report with the cost of the training among the results of each trial, and checks
    that the results of each eval have one protocol.

    Raises:
        UserError: no run has a card; or protocols differ, naming the field.
    """
    wanted = {name for names in AXES.values() for name in names}
    if not any(wanted & trial.results.keys() for trial in report.trials):
        raise UserError(
            f'no run in {report.runs.path} has a card: `genjax evaluate --card --workdir=…` first'
        )
    for name in dict.fromkeys(metric.partition('/')[0] for metric in sorted(wanted)):
        field = f'{name}/protocol'
        check_same(name, {t.id: t.results[field] for t in report.trials if field in t.results})
    groups = [
        Group(
            group.settings,
            [
                replace(t, results={**t.results, 'steps': t.steps, 'device hours': t.device_hours})
                for t in group.trials
            ],
        )
        for group in report.groups
    ]
    return replace(report, groups=groups)


def tables(report: Report) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yields a title, column heads and rows for each axis with results."""
    for axis, metrics in AXES.items():
        cells = {metric: [_cell(group, metric) for group in report.groups] for metric in metrics}
        shown = {metric: column for metric, column in cells.items() if any(column)}
        if not shown:
            continue
        heads = [*report.fields, *map(_head, shown)]
        kinds = _kinds(report) if axis == 'Likelihood' else None
        rows = [
            [*map(formatting.value, group.settings.values()), *(c or formatting.NONE for c in row)]
            for group, row in zip(report.groups, zip(*shown.values(), strict=True), strict=True)
        ]
        if kinds:
            heads, rows = [*heads, 'kind'], [[*r, k] for r, k in zip(rows, kinds, strict=True)]
        yield axis, heads, rows


def _head(metric: str) -> str:
    name = metric.rpartition('/')[2]
    return name if metric in _UNSORTED else f'{name} {"↑" if metric in _MORE else "↓"}'


def lines(report: Report) -> Iterator[str]:
    """The card as Markdown."""
    yield f'# {markdown.text(report.runs.path.resolve().name)}'
    for axis, heads, rows in tables(report):
        yield from ('', f'## {axis}', '')
        yield from markdown.table(heads, rows)
    yield from ('', NOTE, '')
    yield from (f'- {markdown.text(note)}' for note in protocols(report))


def protocols(report: Report) -> Iterator[str]:
    """The protocol of each eval, or of each kind of model where they differ."""
    for name in dict.fromkeys(m.partition('/')[0] for names in AXES.values() for m in names):
        found = {t.results.get(f'{name}/protocol') for t in report.trials} - {None}
        yield from (f'{name}: {line}' for line in sorted({_shown(str(text)) for text in found}))


def _shown(text: str) -> str:
    """A protocol without its seed."""
    fields = {name: value for name, value in fields_of(text).items() if name != 'seed'}
    return protocol(**fields) if fields else text


def content(report: Report) -> list[dict[str, Any]]:
    """The card as plain data: settings and results of each group."""
    return [
        {
            'settings': {name: str(value) for name, value in group.settings.items()},
            'results': {
                axis: {
                    metric: asdict(found)
                    for metric in metrics
                    if (found := outcome(group, metric).estimate).mean is not None
                }
                for axis, metrics in AXES.items()
            },
            'protocols': list(protocols(report)),
        }
        for group in report.groups
    ]


def save_pareto(report: Report, path: Path) -> None:
    """Writes a PNG of the distance of samples from data against the speed of drawing; a line joins
    the settings that no other beats in both.

    Raises:
        UserError: no run has both.
    """
    from matplotlib import rc_context  # slow to import
    from matplotlib.figure import Figure

    points = []
    for group in report.groups:
        found = [outcome(group, m).estimate for m in ('speed/samples_per_s', 'fd/distance')]
        if all(estimate.mean is not None for estimate in found):
            settings = group.settings
            only = (
                next(iter(settings.values()), '') if [*settings] in (['sweep'], ['run']) else None
            )
            points.append((found, only or formatting.settings(settings)))
    if not points:
        raise UserError(f'no run in {report.runs.path} has both a speed and a Fréchet distance')
    with rc_context({'text.parse_math': False}):
        figure = Figure(figsize=(7, 5), layout='constrained')
        axes = figure.subplots()
        for (speed, distance), label in points:
            half = [0.0 if e.low is None else e.mean - e.low for e in (speed, distance)]
            axes.errorbar(speed.mean, distance.mean, half[1], half[0], 'o', capsize=3)
            axes.annotate(label[:60], (speed.mean, distance.mean), xytext=(6, 4),
                          textcoords='offset points', fontsize=8)  # fmt: skip
        front = _front([(speed.mean, distance.mean) for (speed, distance), _ in points])
        axes.plot(*zip(*front, strict=True), color='grey', linewidth=1, zorder=0)
        axes.set(xscale='log', yscale='log', xlabel='samples per second')
        axes.set_ylabel('Fréchet distance')
        formatting.log_ticks(axes.xaxis)
        formatting.log_ticks(axes.yaxis)
        axes.grid(alpha=0.25, linewidth=0.6)
        figure.savefig(path, format='png', dpi=150)


def _front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points with no other that is faster and nearer, by speed."""
    best, front = float('inf'), []
    for speed, distance in sorted(points, key=lambda p: (-p[0], p[1])):
        if distance < best:
            best = distance
            front.append((speed, distance))
    return front


def _cell(group: Group, metric: str) -> str:
    """A mean over seeds with its standard error; of one run, with its own."""
    found = outcome(group, metric).estimate
    if found.mean is None:
        return ''
    error = found.stderr
    if error is None and metric in _ERRORS:
        errors = [t.results.get(_ERRORS[metric]) for t in group.trials]
        error = next((e for e in errors if isinstance(e, float)), None)
    return _with_error(found, error)


def _with_error(found: Estimate, error: float | None) -> str:
    mean = formatting.number(found.mean, 4)
    return f'{mean} ± {formatting.number(error, 2)}' if error else mean


def _kinds(report: Report) -> list[str]:
    """Kinds of the likelihoods of each group: exact, lower_bound, estimate."""
    return [
        ', '.join(sorted({str(t.results.get('likelihood/kind', '')) for t in group.trials} - {''}))
        for group in report.groups
    ]
