"""Reads the results that a run records: `metrics.jsonl` and `evaluations/<step>.json`.

Results are named `<eval name>/<result>`. Runs from before evals had names recorded
`validation/<class>/<result>`, and `<class>/<result>` of the test split in `evaluations/`: these are
read as `<class>/<result>` and `test_<class>/<result>`, and `upgrade` names their evaluators so.
"""

import json
import re
from collections.abc import Iterator, Mapping
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
    path = workdir / METRICS
    if not path.exists():
        return
    for line in path.read_text(errors='replace').splitlines():
        try:
            record = json.loads(line)
            step = record.pop('step')
        except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
            continue
        if type(step) is int:
            yield step, {_OLDER.sub('', name, count=1): value for name, value in record.items()}


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
