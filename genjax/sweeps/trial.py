"""Runs one trial of a sweep and records how it ended, for launchers that do not wait (Slurm,
JobSet).
"""

import shlex
import signal
import subprocess
import sys
import time

from genjax.config import trust
from genjax.errors import EXIT_INTERRUPTED, UserError, nearest
from genjax.parallel.cluster import detect_cluster
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
    """Runs a trial. In a multi-process run, every process calls it, and process 0 records the
    result.

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
    process = subprocess.Popen(
        [sys.executable, '-P', '-m', 'genjax', 'train', *options],
        stderr=subprocess.PIPE,
        text=True,
        errors='replace',
        env=folder.environment(),
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process gets Ctrl-C itself
    if stopped:  # before the process was started
        process.terminate()
    first, last = _is_first(), ''
    with process:
        for line in process.stderr:
            print(line, end='', file=sys.stderr, flush=True)
            last = line.strip() or last
    code = process.returncode
    status, reason = ending(code, last, stopped)
    if first:
        folder.end(trial, status, reason, time.monotonic() - began)
    return EXIT_INTERRUPTED if status == 'stopped' else code if code >= 0 else 128 - code


def _is_first() -> bool:
    try:
        place = detect_cluster(None, None, None)
    except UserError:  # the training reports it
        return True
    return place is None or place.index == 0
