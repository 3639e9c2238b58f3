"""Runs one trial of a sweep and records how it ended, for launchers that do not wait (Slurm,
JobSet).
"""

import contextlib
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from genjax import files
from genjax.config import trust
from genjax.errors import EXIT_INTERRUPTED, UserError, nearest
from genjax.parallel.cluster import ProcessInfo, detect_cluster
from genjax.sweeps.exit_status import ending
from genjax.sweeps.folder import Folder
from genjax.sweeps.trials import Trial


def command(folder: Folder, trial: Trial, *genjax: str) -> str:
    """Returns the shell command that runs a trial.

    Args:
        folder: sweep folder.
        trial: trial to run.
        genjax: words that start genjax; none: those for this environment.
    """
    genjax = genjax or (sys.executable, '-P', '-m', 'genjax')
    words = ['run_trial', str(folder.path.resolve()), trial.id]
    return shlex.join([*genjax, *words, *trust.options(trial.config)])


def run(folder: Folder, trial: str) -> int:
    """Runs a trial. In a multi-process run, every process calls it and keeps a log of its own, and
    process 0 records the result.

    Returns:
        The exit status of the training.

    Raises:
        UserError: the sweep has no such trial.
    """
    if not folder.config(trial).exists():
        known = [row['id'] for row in folder.read()['trials']]
        raise UserError(f'{folder.path} has no trial {trial!r}{nearest(trial, known)}')
    began, stopped, process = time.monotonic(), False, None

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        if process:
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    options = [f'--config={folder.config(trial)}', f'--workdir={folder.workdir(trial)}']
    options += trust.given()
    place, last = _place(), ''
    with _log(folder, trial, place) as log:
        process = subprocess.Popen(
            [sys.executable, '-P', '-m', 'genjax', 'train', *options],
            stdout=subprocess.PIPE if place else None,
            stderr=subprocess.STDOUT if place else subprocess.PIPE,
            text=True,
            errors='replace',
            env=folder.environment(),
        )
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process gets Ctrl-C itself
        if stopped:  # before the process was started
            process.terminate()
        lines, out = (process.stdout, sys.stdout) if place else (process.stderr, sys.stderr)
        with process:
            for line in lines:
                print(line, end='', file=out, flush=True)
                log(line)
                last = line.strip() or last
    code = process.returncode
    status, reason = ending(code, last, stopped)
    if place is None or place.index == 0:
        folder.end(trial, status, reason, time.monotonic() - began)
    return EXIT_INTERRUPTED if status == 'stopped' else code if code >= 0 else 128 - code


def _place() -> ProcessInfo | None:
    try:
        return detect_cluster(None, None, None)
    except UserError:  # the training reports it
        return None


@contextlib.contextmanager
def _log(folder: Folder, trial: str, place: ProcessInfo | None) -> Iterator[Callable[[str], None]]:
    """Yields a function that adds a line to the log of this process, if there are several."""
    if place is None:
        yield lambda line: None
        return

    def add(line: str) -> None:
        with contextlib.suppress(OSError, UserError):  # the training notices a full disk itself
            file.write(line.encode(errors='replace'))

    path = folder.log(trial, place.index)
    with files.explained(path):
        file = files.appending(path)
    now = time.strftime('%Y-%m-%dT%H:%M:%S%z')
    add(f'{now}: process {place.index} of {place.count} on {socket.gethostname()}\n')
    try:
        yield add
    finally:
        with contextlib.suppress(OSError, UserError):
            file.close()
