"""The folder of a sweep:

sweep.json          config file and changes of every trial
configs/ID.json     full config of a trial, for `genjax train --config`
trials/ID/          run folder of a trial
logs/ID.txt         output of a trial
logs/ID.N.txt       output of process N of a trial with several, from `genjax run_trial`
results/ID.json     status, reason and seconds of a trial
populations/ID/     trials that one program is training, and their checkpoints
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from genjax import config as configs
from genjax import files
from genjax.errors import UserError
from genjax.sweeps.trials import Trial

RECORD = 'sweep.json'


class Folder:
    """The files of a sweep in `path`, created on the first write."""

    def __init__(self, path: Path):
        self.path = path

    def locked(self) -> AbstractContextManager[tuple[int, ...]]:
        """Locks the folder; yields the descriptors that hold the lock.

        A process that inherits them holds the lock too, until it ends.

        Raises:
            UserError: another sweep, or a trial of an ended one, holds the lock; or the folder is
                not that of a sweep.
        """
        busy = 'another sweep is running in {folder}, or its trials are still being saved'
        return files.locked(self.path, 'sweep', RECORD, busy)

    def environment(self) -> dict[str, str]:
        """The environment of the process of a trial; Weights & Biases groups the trials by the name
        of the folder.
        """
        name = self.path.resolve().name
        return {'WANDB_RUN_GROUP': name, **os.environ, 'PYTHONUNBUFFERED': '1'}

    def before(self, config_file: str) -> dict[str, Any] | None:
        """Content of `sweep.json`, if the folder has a sweep over this config file.

        Raises:
            UserError: the folder has a sweep over another config file.
        """
        record = self.read() if (self.path / RECORD).exists() else None
        if record and record['config'] != config_file:
            raise UserError(
                f'{self.path} holds a sweep over {record["config"]}, not {config_file};'
                ' choose another --workdir'
            )
        return record

    def known(self, trials: list[Trial]) -> list[Trial]:
        """Renames trials to the ids they have in this folder: older code, which wrote other fields
        into the configs, hashed them differently.
        """
        ids = {row['id'] for row in self.read()['trials']} if (self.path / RECORD).exists() else ()
        other = {}
        for name in set(ids) - {trial.id for trial in trials}:
            with contextlib.suppress(UserError):  # written by code that no longer exists
                other[configs.fingerprint(configs.load(str(self.config(name))))] = name
        if not other:
            return trials
        names = [other.get(configs.fingerprint(trial.config), trial.id) for trial in trials]
        pairs = zip(trials, names, strict=True)
        return [dataclasses.replace(trial, id=name) for trial, name in pairs]

    def add(self, config_file: str, trials: list[Trial]) -> None:
        """Records trials beside the existing ones.

        Raises:
            UserError: the folder has a sweep over another config file.
        """
        before = self.before(config_file)
        rows = {row['id']: row for row in before['trials']} if before else {}
        for trial in trials:
            rows[trial.id] = {'id': trial.id, 'changes': configs.to_json(trial.changes)}
        # Written first: it marks the folder as that of a sweep.
        record = {'config': config_file, 'trials': list(rows.values())}
        files.write_json(self.path / RECORD, record)
        for trial in trials:
            content = {'config': configs.to_json(trial.config), 'source': configs.origin.current()}
            files.write_json(self.config(trial.id), content)

    def read(self) -> dict[str, Any]:
        """Content of `sweep.json`; raises UserError if there is none."""
        try:
            record = json.loads((self.path / RECORD).read_text('utf-8'))
            names = [row['id'] for row in record['trials'] if row['changes'].keys() is not None]
            if strange := [name for name in names if not re.fullmatch(r'[\w-]+', name)]:
                raise UserError(f'{self.path / RECORD}: {strange[0]!r} is not the id of a trial')
            return {**record, 'config': str(record['config'])}
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            reason = getattr(error, 'strerror', None) or error
            raise UserError(f'{self.path} is not the folder of a sweep: {reason}') from None

    def trials(self) -> dict[str, Trial]:
        """All trials, by id."""
        return {
            row['id']: Trial(row['id'], row['changes'], configs.load(str(self.config(row['id']))))
            for row in self.read()['trials']
        }

    def config(self, trial: str) -> Path:
        """Config file of a trial."""
        return self.path / 'configs' / f'{trial}.json'

    def workdir(self, trial: str) -> Path:
        """Run folder of a trial."""
        return self.path / 'trials' / trial

    def log(self, trial: str, process: int | None = None) -> Path:
        """Output file of a trial, or of one of its processes."""
        number = '' if process is None else f'.{process}'
        return self.path / 'logs' / f'{trial}{number}.txt'

    def result_path(self, trial: str) -> Path:
        """Result file of a trial."""
        return self.path / 'results' / f'{trial}.json'

    def result(self, trial: str) -> dict[str, Any] | None:
        """Last result of a trial, `{'status': ..., 'reason': ..., 'seconds': ...}`; None if it has
        not ended.
        """
        path = self.result_path(trial)
        try:
            found = json.loads(path.read_text('utf-8'))
            return {
                'status': found['status'],
                'reason': found['reason'],
                'seconds': found['seconds'],
            }
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise UserError(
                f'cannot read {path}: {error!r}; remove it to run the trial again'
            ) from None

    def status(self, trial: str) -> str | None:
        """Complete, stopped or failed; None if the trial has not ended."""
        return (self.result(trial) or {}).get('status')

    def incomplete(self, trials: list[Trial]) -> list[Trial]:
        """Trials that are not complete."""
        return [trial for trial in trials if self.status(trial.id) != 'complete']

    def population(self, trials: Iterable[Trial]) -> Path:
        """The folder of a population of these trials."""
        names = ' '.join(trial.id for trial in trials)
        return self.path / 'populations' / hashlib.sha256(names.encode()).hexdigest()[:10]

    def end(self, trial: str, status: str, reason: str, seconds: float) -> None:
        """Records how a trial ended; for a busy trial, the process that trains it does so.

        `seconds` (of the whole machine, or a share of a vectorized run) add to those of earlier
        starts.
        """
        if status == 'busy':
            return
        before = self.result(trial) or {'seconds': 0.0}
        total = round(before['seconds'] + seconds, 1)
        result = {'status': status, 'reason': reason, 'seconds': total}
        files.write_json(self.result_path(trial), result)
