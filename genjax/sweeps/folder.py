"""The folder of a sweep:

sweep.json          the config file and the changes of every trial
configs/ID.json     the whole config of a trial: `genjax train --config` reads it
trials/ID/          the run of a trial, like any other
logs/ID.txt         what it printed
results/ID.json     how it ended
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
from typing import IO, Any

from genjax import config as configs
from genjax import files
from genjax.errors import UserError
from genjax.sweeps.trials import Trial

RECORD = 'sweep.json'


class Folder:
    """The files of a sweep in `path`, which is made when it is first written to."""

    def __init__(self, path: Path):
        self.path = path

    def locked(self) -> AbstractContextManager[IO[str]]:
        """Holds the folder alone; gives the file whose descriptor holds the lock.

        A process that inherits the descriptor holds the lock as well, until it ends.

        Raises:
            UserError: another sweep, or a trial of one that ended, holds it; or it is no such
                folder.
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
        """The content of `sweep.json`, if a sweep over this config file was begun here.

        Raises:
            UserError: the folder is of a sweep over another config file.
        """
        record = self.read() if (self.path / RECORD).exists() else None
        if record and record['config'] != config_file:
            raise UserError(
                f'{self.path} holds a sweep over {record["config"]}, not {config_file};'
                ' choose another --workdir'
            )
        return record

    def known(self, trials: list[Trial]) -> list[Trial]:
        """The trials under the ids that they have here: an older version of the code, which wrote
        their configs with other fields, gave them others.
        """
        ids = {row['id'] for row in self.read()['trials']} if (self.path / RECORD).exists() else ()
        other = {}
        for name in set(ids) - {trial.id for trial in trials}:
            with contextlib.suppress(UserError):  # it is of code that is gone
                other[configs.fingerprint(configs.load(str(self.config(name))))] = name
        if not other:
            return trials
        names = [other.get(configs.fingerprint(trial.config), trial.id) for trial in trials]
        pairs = zip(trials, names, strict=True)
        return [dataclasses.replace(trial, id=name) for trial, name in pairs]

    def add(self, config_file: str, trials: list[Trial]) -> None:
        """Writes down the trials beside those that are there.

        Raises:
            UserError: the folder is of a sweep over another config file.
        """
        before = self.before(config_file)
        rows = {row['id']: row for row in before['trials']} if before else {}
        for trial in trials:
            rows[trial.id] = {'id': trial.id, 'changes': configs.to_json(trial.changes)}
        # First, as it marks the folder as that of a sweep.
        record = {'config': config_file, 'trials': list(rows.values())}
        files.write_json(self.path / RECORD, record)
        for trial in trials:
            content = {'config': configs.to_json(trial.config), 'source': configs.origin.current()}
            files.write_json(self.config(trial.id), content)

    def read(self) -> dict[str, Any]:
        """The content of `sweep.json`; raises UserError where there is none."""
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
        """The file with the config of a trial."""
        return self.path / 'configs' / f'{trial}.json'

    def workdir(self, trial: str) -> Path:
        """The folder of the run of a trial."""
        return self.path / 'trials' / trial

    def log(self, trial: str) -> Path:
        """The file with what a trial printed."""
        return self.path / 'logs' / f'{trial}.txt'

    def result_path(self, trial: str) -> Path:
        """The file with how a trial ended."""
        return self.path / 'results' / f'{trial}.json'

    def result(self, trial: str) -> dict[str, Any] | None:
        """How a trial ended the last time, `{'status': ..., 'reason': ..., 'seconds': ...}`; None:
        it has not ended yet.
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
        """Complete, stopped or failed; None: it has not ended yet."""
        return (self.result(trial) or {}).get('status')

    def incomplete(self, trials: list[Trial]) -> list[Trial]:
        """Those trials that have not been completed."""
        return [trial for trial in trials if self.status(trial.id) != 'complete']

    def population(self, trials: Iterable[Trial]) -> Path:
        """The folder of a population of these trials."""
        names = ' '.join(trial.id for trial in trials)
        return self.path / 'populations' / hashlib.sha256(names.encode()).hexdigest()[:10]

    def end(self, trial: str, status: str, reason: str, seconds: float) -> None:
        """Writes down how a trial ended; of one that is busy, the process that trains it will.

        The `seconds` that it had the machine, or its share of those that a population had it, add
        to those of its earlier starts.
        """
        if status == 'busy':
            return
        before = self.result(trial) or {'seconds': 0.0}
        total = round(before['seconds'] + seconds, 1)
        result = {'status': status, 'reason': reason, 'seconds': total}
        files.write_json(self.result_path(trial), result)
