"""Runs the trials of a sweep on this machine, some at a time, each on its share of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO

from genjax.errors import EXIT_INTERRUPTED, Interrupted, UserError
from genjax.sweeps.folder import Folder
from genjax.sweeps.trials import Trial, title

_POLL = 0.05  # seconds


def run(folder: Folder, trials: list[Trial], max_parallel: int, lock: IO) -> None:
    """Runs what is not complete; a trial that fails does not stop the others.

    Args:
        folder: of the sweep, which holds the trials.
        trials: to be run, in this order.
        max_parallel: how many at a time.
        lock: of the folder; the trials hold it as well.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; the trials that were running have been saved.
        UserError: trials failed; after all others.
    """
    results = {trial.id: folder.result(trial.id) for trial in trials}
    waiting = [t for t in trials if (results[t.id] or {}).get('status') != 'complete']
    done = len(trials) - len(waiting)
    if done:
        print(f'{done} of {len(trials)} trials are complete already')
    free = _shares(min(max_parallel, len(waiting)))
    running: dict[str, _Running] = {}
    failed: list[tuple[Trial, str]] = []
    with _stopping() as stop:
        while running or (waiting and not stop):
            while waiting and free and not stop:
                trial = waiting.pop(0)
                running[trial.id] = _Running(folder, trial, free.pop(0), lock)
            for found in [r for r in running.values() if r.process.poll() is not None]:
                del running[found.trial.id]
                free.append(found.share)
                status, reason = found.end(folder)
                if status == 'failed':
                    failed.append((found.trial, reason))
                done += status != 'stopped'
                print(
                    f'[{done}/{len(trials)}] {found.trial.id} {title(found.trial.changes)}:'
                    f' {status}{": " if reason else ""}{reason}',
                    flush=True,
                )
            if stop:
                for found in running.values():
                    found.stop()
            time.sleep(_POLL)
    if stop:
        raise Interrupted(f'{stop[0]}: the trials are saved; the same command goes on with them')
    if failed:
        trial, reason = failed[0]
        raise UserError(
            f'{len(failed)} of {len(trials)} trials failed; {title(trial.changes)}: {reason}'
            f' ({folder.log(trial.id)}); the same command tries them again'
        )


class _Running:
    """A trial in its process."""

    def __init__(self, folder: Folder, trial: Trial, share: dict[str, str], lock: IO):
        self.trial, self.share = trial, share
        self._stopped, self._began = False, time.monotonic()
        log = folder.log(trial.id)
        log.parent.mkdir(exist_ok=True)
        environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
        if 'devices' in share:
            environment['CUDA_VISIBLE_DEVICES'] = share['devices']
        with log.open('w') as out:
            self.process = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        '-m',
                        'genjax.sweeps.child',
                        share['cores'],
                        str(os.getpid()),
                    ),
                    *('train', f'--config={folder.config(trial.id)}'),
                    f'--workdir={folder.workdir(trial.id)}',
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # Ctrl-C comes here alone, and is passed on once
            )

    def stop(self) -> None:
        """Has the trial saved and ended."""
        if not self._stopped:
            self.process.terminate()
            self._stopped = True

    def end(self, folder: Folder) -> tuple[str, str]:
        """Writes down how the trial ended, and returns its status and the reason."""
        code = self.process.returncode
        lines = folder.log(self.trial.id).read_text(errors='replace').split('\n')
        last = next((line.strip() for line in reversed(lines) if line.strip()), '')
        if code == 0:
            status, reason = 'complete', ''
        elif code == EXIT_INTERRUPTED or (self._stopped and code == -signal.SIGTERM):
            status, reason = 'stopped', ''
        elif code < 0:
            status, reason = 'failed', f'killed by {signal.Signals(-code).name}'
        else:
            status, reason = 'failed', last.removeprefix('genjax: error: ') or f'status {code}'
        folder.end(self.trial.id, status, reason, time.monotonic() - self._began)
        return status, reason


@contextlib.contextmanager
def _stopping() -> Iterator[list[str]]:
    """Gives a list that Ctrl-C and SIGTERM append their names to."""
    names = {signal.SIGINT: 'Ctrl-C', signal.SIGTERM: 'SIGTERM'}
    came: list[str] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(names[number]))
        for number in names
    }
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shares(number: int) -> list[dict[str, str]]:
    """Cores, and GPUs where there are any, for so many trials at a time."""
    affinity = getattr(os, 'sched_getaffinity', None)
    cores = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
    gpus = _gpus()
    shares = []
    for place in range(number):
        share = {'cores': ','.join(map(str, _part(cores, place, number)))}
        if gpus:
            share['devices'] = ','.join(_part(gpus, place, number))
        shares.append(share)
    return shares


def _part(things: list, place: int, number: int) -> list:
    """The part at `place` of `number`, equally large; shared where there are too few."""
    size = len(things) // number
    return things[place * size : (place + 1) * size] if size else [things[place % len(things)]]


def _gpus() -> list[str]:
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        return [name for name in visible.split(',') if name]
    if not shutil.which('nvidia-smi'):
        return []
    listed = subprocess.run(['nvidia-smi', '-L'], capture_output=True, text=True, check=False)
    return (
        [str(i) for i, _ in enumerate(listed.stdout.splitlines())] if not listed.returncode else []
    )
