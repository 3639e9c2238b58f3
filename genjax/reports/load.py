"""Reads the folder of a sweep, a folder of sweeps or of runs, or a single run, finished or not."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from genjax import config as configs
from genjax import records
from genjax.errors import UserError, plain
from genjax.files import committed
from genjax.reports.json_values import (
    as_finite,
    as_number,
    as_text,
    as_whole,
    hashable,
    read_json,
)
from genjax.sweeps.folder import RECORD, Folder

STATUSES = ('complete', 'stopped', 'failed', 'unfinished', 'not begun')

Curve = list[tuple[int, float | None]]
"""Metric by step; None if not finite."""


@dataclass(frozen=True)
class Trial:
    """One run, as read from disk.

    Attributes:
        id: its name in the folder.
        workdir: the run folder, which may not exist.
        status: 'complete', 'stopped', 'failed', 'unfinished' (running, or killed) or
            'not begun'.
        reason: why it failed.
        fields: every field of its config, by path; for a spec, the constructor.
        fingerprint: fingerprint of the config.
        data: fingerprint of the training split; '' before the first start.
        steps: steps completed, as far as recorded.
        seconds: wall time of all its starts; None: not recorded.
        uses: seconds by their use, also between the starts; {}: not recorded.
        starts: provenance of each start.
        results: the last value of every metric, None where it is not finite: results of evals
            (the final ones of the best checkpoint, if that was evaluated), `best/<eval>/<result>`
            of those during training, at the best step; and means over the last training steps. Some
            are text.
        curves: metrics by step, without results of final evals.
        final: names of the evals of a checkpoint.
        during: names of the evals during training.
    """

    id: str
    workdir: Path
    status: str
    reason: str
    fields: Mapping[str, Any]
    fingerprint: str
    data: str
    steps: int
    seconds: float | None
    uses: Mapping[str, float]
    starts: list[dict[str, Any]]
    results: Mapping[str, float | str | None]
    curves: Mapping[str, Curve]
    final: frozenset[str]
    during: frozenset[str]

    @property
    def seed(self) -> Any:
        return self.fields.get('seed')

    @property
    def devices(self) -> tuple[int, str]:
        """Number and kind of devices at its last start; 0 before the first."""
        if not self.starts:
            return 0, ''
        number, _, kind = self.starts[-1]['devices'].partition(' x ')
        return int(number), kind

    @property
    def device_hours(self) -> float | None:
        """Wall time times devices."""
        return None if self.seconds is None else self.seconds * self.devices[0] / 3600


@dataclass(frozen=True)
class Runs:
    """All trials of a folder.

    Attributes:
        path: the folder.
        source: config file of a sweep; '' for other folders.
        trials: in the order of the sweep, or by name.
        changed: fields that the sweep sets, in its order; in a folder of sweeps 'sweep', the name
            of a trial's sweep, comes first; empty for other folders.
    """

    path: Path
    source: str
    trials: list[Trial]
    changed: list[str]


def read(path: Path) -> Runs:
    """Reads all runs of a folder.

    Raises:
        UserError: the folder has no runs, or a file of a run is damaged.
    """
    if (path / RECORD).exists():
        folder = Folder(path)
        record = folder.read()
        changed = dict.fromkeys(plain(name) for row in record['trials'] for name in row['changes'])
        trials = [_of_sweep(folder, row['id']) for row in record['trials']]
        return Runs(path, plain(record['config']), trials, list(changed))
    if (path / 'config.json').exists():
        return Runs(path, '', [_alone(path)], [])
    if not path.is_dir():
        raise UserError(f'there is no folder {path}')
    if sweeps := sorted(found.parent for found in path.glob(f'*/{RECORD}')):
        parts = [(plain(sweep.name), read(sweep)) for sweep in sweeps]
        trials = [
            replace(t, id=f'{name}/{t.id}', fields={'sweep': name, **t.fields})
            for name, part in parts
            for t in part.trials
        ]
        changed = dict.fromkeys(field for _, part in parts for field in part.changed)
        return Runs(path, '', trials, ['sweep', *changed])
    workdirs = sorted(found.parent for found in path.glob('*/config.json'))
    if not workdirs:
        raise UserError(f'{path} holds no runs: neither it nor a folder in it has a config.json')
    return Runs(path, '', [_alone(workdir) for workdir in workdirs], [])


@contextlib.contextmanager
def _explained(workdir: Path) -> Iterator[None]:
    """Raises UserError for a file with unexpected content."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f'cannot read the run in {workdir}: {error!r}') from None


def _of_sweep(folder: Folder, trial: str) -> Trial:
    with _explained(folder.workdir(trial)):
        return _trial_of_sweep(folder, trial)


def _trial_of_sweep(folder: Folder, trial: str) -> Trial:
    workdir, path = folder.workdir(trial), folder.result_path(trial)
    result = read_json(path) if path.exists() else None
    begun = (workdir / 'config.json').exists()
    record = read_json(workdir / 'config.json') if begun else None
    if result is not None and not (record and _began_after(record, folder, trial)):
        status, reason = result['status'], result['reason']
    else:
        status = 'unfinished' if begun or folder.log(trial).exists() else 'not begun'
        reason = ''
    seconds = None if result is None else result['seconds']
    record = record or {'config': configs.origin.parts(read_json(folder.config(trial)))[0]}
    return _trial(trial, workdir, record, status, reason, seconds)


def _began_after(record: Mapping[str, Any], folder: Folder, trial: str) -> bool:
    """Returns whether a trial was restarted after its result was written."""
    began = datetime.fromisoformat(record['starts'][-1]['time']).timestamp()
    return began > folder.result_path(trial).stat().st_mtime


def _alone(workdir: Path) -> Trial:
    name = plain(workdir.resolve().name)
    with _explained(workdir):
        return _trial(name, workdir, read_json(workdir / 'config.json'), None, '', None)


def _trial(
    name: str,
    workdir: Path,
    record: Mapping[str, Any],
    status: str | None,
    reason: str,
    seconds: float | None,
) -> Trial:
    """Reads the files of a run. If `status` is None, the run is complete after its last step, or,
    if it may stop early, once it has been evaluated.
    """
    config = records.upgrade(record['config'])
    fields = {
        path.removesuffix(f'.{configs.TARGET}'): hashable(value)
        for path, value in configs.leaves(config)
    }
    fingerprint = record.get('fingerprint') or configs.fingerprint(record['config'])
    evaluated = {
        found['step']: found['evals']
        for found in map(records.evaluation, map(read_json, workdir.glob('evaluations/*.json')))
        if found['config'] == fingerprint
    }
    evals = config.get('evals', {})
    during = frozenset(plain(name) for name in evals if evals[name].get('every'))
    final = frozenset(plain(name) for name in evals) - during
    curves = _curves(workdir)
    best = _best_step(curves, fields)
    results: dict[str, float | str | None] = {m: curve[-1][1] for m, curve in curves.items()}
    if evaluated:
        kept = evaluated.get(best, evaluated[max(evaluated)])
        results |= {
            f'{plain(name)}/{plain(result)}': value if isinstance(value, str) else as_finite(value)
            for name in kept
            for result, value in kept[name]['results'].items()
        }
        counts = Counter(name for found in evaluated.values() for name in found)
        followed = {name for name, number in counts.items() if number > 1}
        curves |= _evaluation_curves(evaluated, followed)
        final |= {plain(name) for name in kept if name not in followed}
    if best is not None:
        for metric, curve in curves.items():
            if metric.partition('/')[0] in during and best in dict(curve):
                results[f'best/{metric}'] = dict(curve)[best]
    there = committed(workdir / 'checkpoints')
    checkpoints = [int(path.name) for path in there if path.name.isdecimal()]
    recorded = [curve[-1][0] for curve in curves.values()]
    steps = max(map(as_whole, [0, *checkpoints, *recorded, *evaluated]))
    if status is None:
        early = fields.get('patience') is not None and bool(evaluated)
        status = 'complete' if early or steps >= fields['steps'] else 'unfinished'
    starts = list(map(_start, record.get('starts', [])))
    data, fingerprint = as_text(record.get('data', '')), as_text(fingerprint)
    status, reason = as_text(status), as_text(reason)
    uses = records.timesheet(workdir).get('seconds', {})
    if seconds is None and status == 'complete' and uses:
        seconds = sum(uses.values()) - uses.get('idle', 0.0)
    seconds = None if seconds is None else as_number(seconds)
    curves = {m: curve for m, curve in curves.items() if m.partition('/')[0] not in final}
    return Trial(
        name, workdir, status, reason, fields, fingerprint, data, steps, seconds, uses, starts,
        results, curves, final, during,
    )  # fmt: skip


def _curves(workdir: Path) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for step, record in records.metrics(workdir):
        for metric, value in record.items():
            curves.setdefault(plain(metric), []).append((step, as_finite(value)))
    return curves


def _evaluation_curves(
    evaluated: Mapping[int, Mapping[str, Any]], names: set[str]
) -> dict[str, Curve]:
    """Results of evals of several checkpoints, by step."""
    curves: dict[str, Curve] = {}
    for step in sorted(evaluated):
        for name in names & evaluated[step].keys():
            for result, value in evaluated[step][name]['results'].items():
                if not isinstance(value, str):
                    curve = curves.setdefault(f'{plain(name)}/{plain(result)}', [])
                    curve.append((step, as_finite(value)))
    return curves


def _best_step(curves: Mapping[str, Curve], fields: Mapping[str, Any]) -> int | None:
    """Step of the best evaluation; None if the config has no `best`."""
    curve = curves.get(records.best_result(curves, fields.get('best')), [])
    finite = [(value, step) for step, value in curve if value is not None]
    if not finite:
        return None
    largest = fields.get('best_mode') == 'max'
    return min(finite, key=lambda pair: -pair[0] if largest else pair[0])[1]


def _start(start: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a start's provenance that reports use."""
    source = start.get('source') or {}
    number = start['devices'].partition(' x ')[0]
    return {
        **{name: as_text(start[name]) for name in ('time', 'genjax', 'python')},
        'devices': as_text(start['devices']) if int(number) >= 0 else '',
        'commit': start['commit'] and as_text(start['commit']),
        'config commit': source.get('commit') and as_text(source['commit']),
        'packages': {name: as_text(found) for name, found in start['packages'].items()},
    }
