"""Reads the results that a run records: `metrics.jsonl` and `evaluations/<step>.json`.

Results are named `<eval name>/<result>`. Runs from before evals had names recorded
`validation/<class>/<result>`, and `<class>/<result>` of the test split in `evaluations/`: these are
read as `<class>/<result>` and `test_<class>/<result>`, and `upgrade` names their evaluators so.
"""

import json
import os
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

METRICS = 'metrics.jsonl'
EVALUATIONS = 'evaluations'
TIMESHEET = 'timesheet.json'
TIMES = ('steps_per_second', 'data_wait', 'goodput', 'mfu')  # metrics that no seed determines

_TARGET = '_target_'
_OLDER = re.compile(r'validation/(?=[^/]+/)')


def metrics(workdir: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the step and the metrics of each record in `metrics.jsonl`, in order; lines that
    cannot be read, such as one that is being written, are skipped.
    """
    yield from parsed(text(workdir))


class Results:
    """The results of evals in `metrics.jsonl`, of which each call reads what was added since."""

    def __init__(self, workdir: Path, evals: Container[str]):
        """Takes the folder of a run and the names of its evals."""
        self._path, self._evals = workdir / METRICS, evals
        self._file, self._place, self._found = None, 0, []

    def __call__(self) -> list[tuple[int, dict[str, Any]]]:
        """Returns the step and the results of each complete record with some, in order."""
        if not self._path.exists():  # perhaps in parts, of which the last is rewritten
            self._found.clear()
            self._add(text(self._path.parent))
            return self._found
        with self._path.open('rb') as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._file:  # replaced, when a run resumes
                self._file, self._place, self._found = inode, 0, []
            file.seek(self._place)
            new = file.read()
        new = new[: new.rfind(b'\n') + 1]
        self._place += len(new)
        self._add(new.decode(errors='replace'))
        return self._found

    def _add(self, lines: str) -> None:
        for step, record in parsed(lines):
            results = {n: v for n, v in record.items() if n.partition('/')[0] in self._evals}
            if results:
                self._found.append((step, results))


def parsed(lines: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields what `metrics` does, from the content of a file."""
    for line in lines.splitlines():
        try:
            record = json.loads(line)
            step = record.pop('step')
        except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
            continue
        if type(step) is int:
            yield step, {_OLDER.sub('', name, count=1): value for name, value in record.items()}


def parts(workdir: Path) -> list[Path]:
    """The files with the metrics of a run, in order: `metrics.jsonl`, or in a bucket
    `metrics.jsonl.000001`, …; none before its first record.
    """
    found = sorted(workdir.glob(f'{METRICS}*'))
    return [path for path in found if re.fullmatch(rf'{METRICS}(\.\d+)?', path.name)]


def text(workdir: Path) -> str:
    """The metrics of a run, a JSON object a line."""
    return ''.join(part.read_text(errors='replace') for part in parts(workdir))


def timesheet(workdir: Path) -> dict[str, Any]:
    """Returns the 'seconds' of a run by their use (`training.timesheet`), the last 'step' that it
    has reached, and 'until' when they are accounted; {} if there are none or they are damaged.
    """
    try:
        found = json.loads((workdir / TIMESHEET).read_text('utf-8'))
        seconds = {str(use): float(value) for use, value in found['seconds'].items()}
        return {'step': int(found['step']), 'until': float(found['until']), 'seconds': seconds}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def shares(seconds: Mapping[str, float]) -> str:
    """Returns the seconds of a run, or of several, by their use in words, the largest first."""
    total = max(sum(seconds.values()), 1e-9)
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    parts = ', '.join(f'{use} {value / total:.1%}' for use, value in ordered if value > 0)
    return f'{total:,.0f} s: {parts}'


def evaluation(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file in `evaluations/`: 'step', 'config' (its fingerprint), and 'evals', by
    name with 'results' and, in newer ones, 'evaluator' and 'provenance'.

    Raises:
        LookupError, TypeError, AttributeError: it is damaged.
    """
    if 'figures' not in content:
        return dict(content)
    evals: dict[str, Any] = {}
    for name, value in content['figures'].items():
        evaluator, _, result = name.partition('/')
        evals.setdefault(f'test_{evaluator}', {'results': {}})['results'][result] = value
    return {'step': content['step'], 'config': content['config'], 'evals': evals}


def upgrade(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an experiment, as plain data, with the evaluators of an older config as
    `evals`: those of `validation` under the lower-case name of their class, those of `test` under
    that after `test_`.
    """
    new = dict(fields)
    every = new.pop('validate_every', 0)
    validation, test = new.pop('validation', ()), new.pop('test', ())
    for prefix, evaluators, when in (
        ('', validation if every else (), {'split': 'validation', 'every': every}),
        ('test_', test, {'split': 'test', 'every': 0}),
    ):
        for old in evaluators:
            is_call = isinstance(old, Mapping)
            path = old[_TARGET] if is_call else old
            name = path.rpartition('.')[2].lower() if is_call else 'function'
            evaluator = old
            if not path.startswith('genjax.'):  # which need not be an Evaluator
                evaluator = {_TARGET: 'genjax.evaluation.FunctionEvaluator', 'function': old}
            new.setdefault('evals', {})[prefix + name] = {**evaluator, **when}
    return new


def best_result(results: Mapping[str, Any], best: str | None) -> str | None:
    """The name of the result that `Experiment.best` means: `'nll/bits_per_dim'`, or for `'nll'`
    the first number of this eval; None where there is none.
    """
    if best is None or best in results:
        return best
    found = (name for name, value in results.items() if name.startswith(f'{best}/'))
    return next((name for name in found if not isinstance(results[name], str)), None)
