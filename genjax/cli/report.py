"""`genjax report`: tables, plots and an HTML page that compare runs."""

import argparse
from typing import TYPE_CHECKING

from genjax import files
from genjax.errors import UserError

if TYPE_CHECKING:
    from genjax.reports.report import Report

HELP = 'compare the runs of a sweep: tables, plots and a page'

_FORMATS = ('md', 'html', 'csv', 'png', 'parquet')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'dir',
        type=files.anywhere,
        metavar='DIR',
        help='the folder of a sweep, of sweeps, of runs, or of one run',
    )
    parser.add_argument(
        '--metric', action='append', default=[], metavar='NAME',
        help='such as test_nll; repeatable (default: the `best` of the config,'
        ' or the first result)',
    )  # fmt: skip
    parser.add_argument(
        '--by', action='append', default=[], metavar='FIELD',
        help='such as model.beta: the x axis; given again, the colour (default: the first two'
        ' fields that differ)',
    )  # fmt: skip
    parser.add_argument(
        '--card', action='store_true',
        help='the results of `genjax evaluate --card` of all runs, by quality, diversity, novelty,'
        ' likelihood and speed; as png, distance against speed',
    )  # fmt: skip
    parser.add_argument(
        '--format', choices=_FORMATS,
        help='default: the extension of --out, or else md; csv and parquet have one row per trial',
    )  # fmt: skip
    parser.add_argument(
        '--out',
        type=files.output,
        metavar='FILE',
        help='output file or folder (default: standard output)',
    )


def run(args: argparse.Namespace) -> None:
    import io

    from genjax.reports import report as reports

    suffix = args.out.suffix.removeprefix('.') if args.out else ''
    kind = args.format or suffix or 'md'
    if kind not in _FORMATS:
        raise UserError(
            f'--out={args.out}: a report ends in .{", .".join(_FORMATS)}; or say --format=…'
        )
    if kind in ('png', 'parquet') and not args.out:
        raise UserError(f'--format={kind} needs --out=FILE')
    metrics, by = (','.join(given).split(',') if given else [] for given in (args.metric, args.by))
    report = reports.make(files.as_path(args.dir), metrics, by)
    if args.card:
        _card(args, kind, report)
        return
    if kind in ('png', 'parquet'):
        with files.replacing(args.out) as temporary:
            if kind == 'png':
                from genjax.reports import plots

                plots.save(report, temporary)
            else:
                from genjax.reports import table

                table.write_parquet(table.rows(report), temporary)
        return
    if kind == 'csv':
        from genjax.reports import table

        text = io.StringIO()
        table.write_csv(table.rows(report), text)
        content = text.getvalue()
    elif kind == 'html':
        from genjax.reports import page

        content = page.html(report)
    else:
        from genjax.reports import markdown

        content = '\n'.join(markdown.lines(report)) + '\n'
    if args.out:
        with files.replacing(args.out) as temporary:
            temporary.write_text(content, 'utf-8')
    else:
        print(content, end='')


def _card(args: argparse.Namespace, kind: str, report: 'Report') -> None:
    """Writes a card; with --out also as .json beside it."""

    from genjax.reports import card, page

    if kind not in ('md', 'html', 'png'):
        raise UserError(f'--card is written as md, html or png, not {kind}')
    report = card.with_costs(report)
    if kind == 'png':
        with files.replacing(args.out) as temporary:
            card.save_pareto(report, temporary)
        return
    whole = page.card_html(report) if kind == 'html' else '\n'.join(card.lines(report)) + '\n'
    if not args.out:
        print(whole, end='')
        return
    with files.replacing(args.out) as temporary:
        temporary.write_text(whole, 'utf-8')
    files.write_json(args.out.with_suffix('.json'), card.content(report))
