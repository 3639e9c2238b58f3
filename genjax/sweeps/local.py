"""Runs the trials of a sweep on this machine, several at a time, each on a share of its cores and
GPUs.
"""

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time

from genjax import files
from genjax.config import trust
from genjax.errors import Interrupted, UserError
from genjax.parallel.preemption import Preemption, Stop
from genjax.sweeps import child
from genjax.sweeps.exit_status import ending
from genjax.sweeps.folder import Folder
from genjax.sweeps.trials import Trial, title

_POLL = 0.05  # seconds


def run(folder: Folder, trials: list[Trial], max_parallel: int, lock: tuple[int, ...]) -> None:
    """Runs incomplete trials; a failed trial does not stop the others.

    Args:
        folder: sweep folder with the trials recorded.
        trials: trials to run, in this order.
        max_parallel: number of concurrent trials.
        lock: descriptors that hold the lock of the folder; the trials inherit them.

    Raises:
        Interrupted: on Ctrl-C or SIGTERM, after the running trials have saved.
        UserError: trials failed; raised after all others have run.
    """
    waiting = folder.incomplete(trials)
    done = len(trials) - len(waiting)
    if done:
        print(f'{done} of {len(trials)} trials are complete already')
    free = _shares(min(max_parallel, len(waiting)))
    running: list[_Running] = []
    failed: list[tuple[Trial, str]] = []

    def collect() -> None:
        nonlocal done
        for found in [r for r in running if r.process.poll() is not None]:
            running.remove(found)
            free.append(found.share)
            status, reason = found.end(folder)
            if status in ('failed', 'busy'):
                failed.append((found.trial, reason))
            done += status != 'stopped'
            print(
                f'[{done}/{len(trials)}] {found.trial.id} {title(found.trial.changes)}:'
                f' {status}{": " if reason else ""}{reason}',
                flush=True,
            )
        time.sleep(_POLL)

    with Preemption() as interruption:
        try:
            while running or waiting:
                interruption.sync_point()
                while waiting and free:
                    trial = waiting.pop(0)
                    running.append(_Running(folder, trial, free.pop(0), lock))
                    print(f'{trial.id} {title(trial.changes)}: started', flush=True)
                collect()
            interruption.saved()
        except Stop:
            for found in running:
                found.stop()
            deadline = time.monotonic() + child.GRACE
            while running:
                if time.monotonic() > deadline:
                    deadline = math.inf
                    for found in running:
                        found.kill()
                collect()
            raise Interrupted(
                f'{interruption.reason}: the trials are saved; the same command resumes them'
            ) from None
        except KeyboardInterrupt:  # a second Ctrl-C
            for found in running:
                found.kill()
            raise
    if failed:
        trial, reason = failed[0]
        raise UserError(
            f'{len(failed)} of {len(trials)} trials failed; {title(trial.changes)}: {reason}'
            f' ({folder.log(trial.id)}); the same command tries them again'
        )


class _Running:
    """The process of a trial."""

    def __init__(self, folder: Folder, trial: Trial, share: dict[str, str], lock: tuple[int, ...]):
        self.trial, self.share = trial, share
        self._stopped, self._began = False, time.monotonic()
        self._held = contextlib.ExitStack()
        self._log = self._held.enter_context(files.logging_to(folder.log(trial.id)))
        environment = folder.environment()
        if 'devices' in share:
            environment['CUDA_VISIBLE_DEVICES'] = share['devices']
        start = [sys.executable, '-P', '-m', 'genjax.sweeps.child']
        config, workdir = folder.config(trial.id), folder.workdir(trial.id)
        words = [
            'train',
            f'--config={config}',
            f'--workdir={workdir}',
            *trust.options(trial.config),
        ]
        with self._log.open('w') as out:
            self.process = subprocess.Popen(
                [*start, share['cores'], str(os.getpid()), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=lock,
                start_new_session=True,  # this process alone gets Ctrl-C, and forwards it once
            )

    def stop(self) -> None:
        """Asks the trial to save and exit."""
        self._stopped = True
        self.process.terminate()

    def kill(self) -> None:
        """Kills a trial that does not exit."""
        self.process.kill()
        print(
            f'{self.trial.id} {title(self.trial.changes)}: killed, as it did not end when it was'
            ' stopped; it resumes from its last checkpoint',
            flush=True,
        )

    def end(self, folder: Folder) -> tuple[str, str]:
        """Records how the trial ended; returns its status and reason."""
        lines = self._log.read_text(errors='replace').split('\n')
        self._held.close()
        last = next((line.strip() for line in reversed(lines) if line.strip()), '')
        killed = self._stopped and self.process.returncode == -signal.SIGKILL
        status, reason = (
            ('stopped', '') if killed else ending(self.process.returncode, last, self._stopped)
        )
        folder.end(self.trial.id, status, reason, time.monotonic() - self._began)
        return status, reason


def _shares(number: int) -> list[dict[str, str]]:
    """Environment with a share of the cores, and of GPUs if any, for each of `number` concurrent
    trials.
    """
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
    """Part `place` of `number` equal parts; parts overlap if there are too few things."""
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
