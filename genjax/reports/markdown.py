"""A report as Markdown."""

import html
import re
from collections.abc import Iterator, Sequence

from genjax.errors import plain
from genjax.reports import formatting
from genjax.reports.report import Report
from genjax.reports.statistics import comparisons, outcome


def lines(report: Report) -> Iterator[str]:
    """Tables of a report: means over seeds, paired comparisons, and missing trials."""
    source = f' ({code(report.runs.source)})' if report.runs.source else ''
    yield f'# {text(plain(report.runs.path.resolve().name))}{source}'
    yield ''
    yield f'{text(report.counted())}.'
    if time := report.time():
        yield from ('', text(time))
    for metric in report.metrics:
        yield from _metric(report, metric)
    if report.incomplete:
        yield from ('', '## Not complete', '')
        for trial in report.incomplete:
            reason = f': {trial.reason}' if trial.reason else ''
            yield f'- {code(trial.id)} {text(report.title(trial))}: {text(trial.status + reason)}'


def text(content: str) -> str:
    """Escapes text for Markdown: markup, links, images and table cells are shown literally."""
    shown = html.escape(content, quote=False).replace('\\', '\\\\')
    return re.sub(r'[|`*~]|(?<=])\(|!(?=\[)|(?<!\w)_|_(?!\w)', lambda found: f'\\{found[0]}', shown)


def code(content: str) -> str:
    """Formats a name as inline code."""
    return '`' + content.replace('`', "'") + '`'


def _metric(report: Report, metric: str) -> Iterator[str]:
    yield from ('', f'## {text(metric)}', '')
    for note in report.notes(metric):
        yield from (text(note), '')
    outcomes = [outcome(group, metric) for group in report.groups]
    rows = [
        [
            *map(formatting.value, group.settings.values()),
            *formatting.estimate(found.estimate),
            formatting.missing(found),
        ]
        for group, found in zip(report.groups, outcomes, strict=True)
    ]
    heads = [*report.fields, *formatting.ESTIMATE, 'not in it']
    yield from table(heads, rows)
    for field in report.by:
        found = comparisons(report.groups, field, metric)
        if found:
            yield from ('', f'Difference that {code(field)} makes, over the seeds of both:', '')
            yield from table(*formatting.comparisons(found, field))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Table with aligned columns; an empty last column is left out."""
    if not any(row[-1] for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    cells = [[text(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [
        '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + ' |'
        for row in cells
    ]
    yield padded[0]
    yield '|' + '|'.join('-' * (width + 2) for width in widths) + '|'
    yield from padded[1:]
