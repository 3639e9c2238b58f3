"""Tidy table: one row per trial; columns are fields, results and provenance."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from genjax.reports.load import Trial
from genjax.reports.report import Report

Row = dict[str, Any]


def rows(report: Report) -> list[Row]:
    """One row per trial, all with the same columns; None for a missing value."""
    results = dict.fromkeys(name for trial in report.trials for name in sorted(trial.results))
    return [
        {
            'id': trial.id,
            'status': trial.status,
            'reason': trial.reason,
            **{name: _scalar(trial.fields.get(name)) for name in report.fields},
            'seed': trial.seed,
            'step': trial.steps,
            'seconds': trial.seconds,
            'devices': trial.devices[0],
            'device_kind': trial.devices[1],
            'device_hours': trial.device_hours,
            **_start(trial),
            'config_fingerprint': trial.fingerprint,
            'data_fingerprint': trial.data,
            **{name: trial.results.get(name) for name in results},
        }
        for trial in report.trials
    ]


def write_csv(table: Sequence[Row], file: IO[str]) -> None:
    """Writes the table as CSV; None is an empty cell."""
    writer = csv.DictWriter(file, list(table[0]), lineterminator='\n')
    writer.writerow({name: _cell(name) for name in table[0]})
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in table)


def _cell(value: Any) -> Any:
    """Escapes a value that a spreadsheet would interpret as a formula."""
    formula = isinstance(value, str) and re.match(r'[=+-]|@(?![\w.]+$)', value)
    return f"'{value}" if formula else value


def write_parquet(table: Sequence[Row], path: Path) -> None:
    """Writes the table as Parquet; a column that mixes numbers and text is text."""
    import pyarrow
    import pyarrow.parquet

    columns = {name: _one_type([row[name] for row in table]) for name in table[0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _start(trial: Trial) -> Row:
    last = trial.starts[-1] if trial.starts else {}
    return {'commit': last.get('commit'), 'time': last.get('time')}


def _scalar(value: Any) -> Any:
    return str(list(value)) if isinstance(value, tuple) else value


def _one_type(values: list) -> list:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    one = float if kinds == {int, float} else str
    return [None if value is None else one(value) for value in values]
