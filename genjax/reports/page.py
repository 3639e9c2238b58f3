"""Renders a report as one self-contained HTML file; its own script draws the plots."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from genjax.errors import plain
from genjax.reports import card, formatting, pictures, plot_data
from genjax.reports.load import STATUSES
from genjax.reports.plot_series import curve_for, curve_names
from genjax.reports.report import Report
from genjax.reports.statistics import comparisons, outcome

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 style-src {style_hash}; script-src {script_hash}; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
"""
_INTERVALS = """<p class="note">Mean over seeds of complete trials, its standard error, and its 95 %
interval by Student's t, which is wide where seeds are few: ±12.7 standard errors with 2 seeds, 4.3
with 3, 2.8 with 5. Small dots are single seeds. In bold: the best of what the config calls
best.</p>"""
_PAIRS = 'In pairs of trials that agree in the seed and all other fields.'
_MEANS = """A row in bold is the mean over the settings below it, over the seeds that have a pair in
each."""


def html(report: Report) -> str:
    """The report as a page."""
    metrics = (part for metric in report.metrics for part in _metric(report, metric))
    return _page(
        report,
        [*metrics, *_curves(report), *_pictures(report), *_failures(report), *_trials(report)],
    )


def card_html(report: Report) -> str:
    """The card as a page, with the images of the runs."""
    tables = (
        f'<h2>{escape(axis)}</h2>{_card(_table(heads, [(row, "") for row in rows]))}'
        for axis, heads, rows in card.tables(report)
    )
    notes = (f'<p class="note">{escape(note)}</p>' for note in card.protocols(report))
    return _page(report, [*tables, f'<p class="note">{card.NOTE}</p>', *notes, *_pictures(report)])


def _page(report: Report, body: Iterable[str]) -> str:
    here, name = Path(__file__).parent, plain(report.runs.path.resolve().name)
    style, script = ((here / file).read_text('utf-8') for file in ('page.css', 'page.js'))
    parts = [
        _HEAD.format(
            title=escape(name),
            style=style,
            style_hash=_hash(style),
            script_hash=_hash(script),
        ),
        *_top(report, name),
        *body,
        *_provenance(report),
        '</main>',
        f'<script type="application/json" id="data">{plot_data.json_of(report)}</script>',
        f'<script>{script}</script>',
        '</body>\n</html>\n',
    ]
    return '\n'.join(parts)


def _hash(content: str) -> str:
    """Content-Security-Policy hash of an inline element, so that only that element may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _top(report: Report, name: str) -> Iterable[str]:
    trials = report.trials
    times = sorted(start['time'][:10] for trial in trials for start in trial.starts)
    dates = ' to '.join(dict.fromkeys([times[0], times[-1]])) if times else 'not begun'
    yield f'<h1>{escape(name)}</h1>'
    source = f'<code>{escape(report.runs.source)}</code> · ' if report.runs.source else ''
    yield f'<p class="soft">{source}{escape(report.counted())} · {escape(dates)}</p>'
    if time := report.time():
        yield f'<p class="soft">{escape(time)}</p>'
    seconds = [trial.seconds for trial in trials if trial.seconds is not None]
    hours = [trial.device_hours for trial in trials if trial.device_hours is not None]
    whose = f' of {len(seconds)} trials' if 0 < len(seconds) < len(trials) else ''
    complete = len(trials) - len(report.incomplete)
    tiles = [
        (f'{complete} / {len(trials)}', 'trials complete'),
        (str(len(report.groups)), 'settings'),
        (str(len({trial.seed for trial in trials})), 'seeds'),
        (formatting.duration(sum(seconds) if seconds else None), f'wall time{whose}, summed'),
        (f'{sum(hours):.3g}' if hours else formatting.NONE, f'device hours{whose}'),
    ]
    yield '<div class="tiles">'
    yield from (
        f'<div class="tile"><b>{escape(number)}</b><span>{what}</span></div>'
        for number, what in tiles
    )
    yield '</div>'


def _metric(report: Report, metric: str) -> Iterable[str]:
    yield f'<h2>{escape(metric)}</h2>'
    for note in report.notes(metric):
        yield f'<p class="note">{escape(note)}</p>'
    if report.by:
        yield f'<div class="card"><div class="chart" data-metric="{escape(metric)}"></div>'
        yield '<div class="legend" data-lines></div></div>'
    outcomes = [outcome(group, metric) for group in report.groups]
    best = report.best(metric, outcomes)
    rows = []
    for group, found in zip(report.groups, outcomes, strict=True):
        cells = [
            *map(formatting.value, group.settings.values()),
            *formatting.estimate(found.estimate),
        ]
        rows.append(([*cells, formatting.missing(found)], 'best' if found is best else ''))
    heads = [*report.fields, *formatting.ESTIMATE, 'not in it']
    yield '<h3>By setting</h3>'
    yield _card(_table(heads, rows))
    yield _INTERVALS
    for field in report.by:
        found = comparisons(report.groups, field, metric)
        if found:
            yield f'<h3>The difference that {escape(field)} makes</h3>'
            heads, rows = formatting.comparisons(found, field)
            kinds = ['best' if c.others is None else '' for c in found]
            yield _card(_table(heads, list(zip(rows, kinds, strict=True))))
            yield f'<p class="note">{_PAIRS} {_MEANS if any(kinds) else ""}</p>'


def _curves(report: Report) -> Iterable[str]:
    names = curve_names(report)
    if not names:
        return
    first = curve_for(report, report.metrics[0])
    options = ''.join(
        f'<option{" selected" if name == first else ""}>{escape(name)}</option>' for name in names
    )
    yield f"""<h2>Curves</h2>
<div class="card">
<div class="controls"><label>metric <select id="curve">{options}</select></label>
<label><input type="checkbox" id="log"> logarithmic</label>
<label><input type="checkbox" id="single"> single trials</label></div>
<div class="chart" id="curves"></div>
<div class="legend" id="groups"></div></div>
<p class="note">Mean over the complete trials of a setting ± its standard error; trials that are not
complete are dotted. The entries below the plot hide and show settings.</p>"""


def _pictures(report: Report) -> Iterable[str]:
    for kind in pictures.KINDS:
        found, left = pictures.of(report, kind)
        if not found:
            continue
        yield f'<h2>{kind.capitalize()}</h2>'
        if left:
            yield f'<p class="note">The first {len(found)} settings; {left} more have some.</p>'
        yield '<div class="pictures">'
        for group, trial, step, source in found:
            label = escape(formatting.settings(group.settings))
            caption = f'{label}<br>' if label else ''
            yield (
                f'<figure><img src="{source}" alt="{kind} {label}">'
                f'<figcaption>{caption}seed {escape(formatting.value(trial.seed))}, step {step:,}'
                '</figcaption></figure>'
            )
        yield '</div>'


def _failures(report: Report) -> Iterable[str]:
    if not report.incomplete:
        return
    yield '<h2>Not complete</h2><div class="card"><ul class="failures">'
    for trial in report.incomplete:
        reason = f': {trial.reason}' if trial.reason else ''
        yield (
            f'<li><span class="id">{escape(trial.id)}</span> {escape(report.title(trial))}'
            f' <span class="{_class(trial.status)}">{escape(trial.status + reason)}</span></li>'
        )
    yield '</ul></div>'


def _trials(report: Report) -> Iterable[str]:
    heads = ['trial', 'status', *report.fields, 'seed', *report.metrics]
    heads += ['step', 'time', 'device hours', 'commit']
    rows = []
    for trial in report.trials:
        status = f'<span class="{_class(trial.status)}">{escape(trial.status)}</span>'
        cells = [
            f'<td class="id">{escape(trial.id)}</td><td>{status}</td>',
            *(_cell(formatting.value(trial.fields.get(name))) for name in [*report.fields, 'seed']),
            *(_sorted(formatting.number(v), v) for v in map(trial.results.get, report.metrics)),
            _sorted(f'{trial.steps:,}', trial.steps),
            _sorted(formatting.duration(trial.seconds), trial.seconds),
            _sorted(formatting.number(trial.device_hours, 3), trial.device_hours),
            f'<td class="id">{escape(formatting.commit(trial))}</td>',
        ]
        rows.append(f'<tr>{"".join(cells)}</tr>')
    titles = ''.join(f'<th>{escape(head)}</th>' for head in heads)
    yield '<h2>Trials</h2>'
    yield _card(
        f'<table class="sortable"><thead><tr>{titles}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table>'
    )
    differ = {*report.fields, 'seed'}
    shared = [
        (k, formatting.value(v)) for k, v in report.trials[0].fields.items() if k not in differ
    ]
    table = _table(['field', 'value'], [(row, '') for row in shared])
    yield f'<details><summary>{len(shared)} fields that all trials share</summary>{_card(table)}'
    yield '</details>'


def _provenance(report: Report) -> Iterable[str]:
    yield '<h2>Provenance</h2><div class="card"><dl>'
    for what, found in report.provenance().items():
        counts = Counter(found)
        several = [f'{value} ({n} of {len(found)})' for value, n in counts.most_common()]
        text = '; '.join(several if len(counts) > 1 else counts)
        yield f'<dt>{escape(what)}</dt><dd>{escape(text)}</dd>'
    yield '</dl></div>'


def _card(content: str) -> str:
    return f'<div class="card wide tall">{content}</div>'


def _table(heads: Sequence[str], rows: Sequence[tuple[Sequence[str], str]]) -> str:
    """Table from cells and a CSS class per row; an empty last column is left out."""
    if not any(cells[-1] for cells, _ in rows):
        heads, rows = heads[:-1], [(cells[:-1], kind) for cells, kind in rows]
    top = ''.join(f'<th>{escape(head)}</th>' for head in heads)
    body = ''.join(
        f'<tr{f" class={kind}" if kind else ""}>{"".join(map(_cell, cells))}</tr>'
        for cells, kind in rows
    )
    return f'<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _cell(text: str) -> str:
    return f'<td{" class=wrap" if len(text) > 40 else ""}>{escape(text)}</td>'


def _sorted(text: str, value: float | None) -> str:
    """Cell sorted by its number."""
    number = formatting.NONE if value is None else str(value)
    return f'<td data-value="{escape(number)}">{escape(text)}</td>'


def _class(status: str) -> str:
    """CSS class of a status."""
    return status.replace(' ', '-') if status in STATUSES else ''
