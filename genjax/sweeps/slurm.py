"""Submits the trials of a sweep to Slurm, as a job array. The folder of the sweep then has

slurm/JOB.txt    the trials of the array, one a line: line i, from 0, is that of task i
slurm/JOB.log    what the tasks printed before and after their trials: nothing, when all is well
"""

import re
import subprocess
import sys
from pathlib import Path

from genjax import files
from genjax.config import trust
from genjax.errors import UserError, nearest
from genjax.sweeps.folder import Folder
from genjax.sweeps.trials import Trial


def submit(
    folder: Folder,
    trials: list[Trial],
    max_parallel: int,
    options: list[tuple[str, str]],
    script: Path,
) -> None:
    """Submits what is neither complete nor in the queue.

    Args:
        folder: of the sweep, which holds the trials.
        trials: to be run.
        max_parallel: how many at a time.
        options: of sbatch, with their values; '' for one that takes none.
        script: `launch/slurm.sh` or a copy of it.

    Raises:
        UserError: there is no Slurm, it has no such option, or it refuses.
    """
    known = set(re.findall(r'--([a-z][\w-]*)', _call('sbatch', '--help')))
    for name, _ in options:
        if name not in known:
            raise UserError(f'sbatch has no option --{name}{nearest(name, known)}')
    incomplete, queued = folder.incomplete(trials), _queued(folder)
    waiting = [trial.id for trial in incomplete if trial.id not in queued]
    print(
        f'{len(trials) - len(incomplete)} of {len(trials)} trials are complete,'
        f' {len(incomplete) - len(waiting)} in the queue'
    )
    if not waiting:
        return
    for name in ('slurm', 'logs'):
        (folder.path / name).mkdir(exist_ok=True)
    path = folder.path.resolve()
    words = [f'--{name}={value}' if value else f'--{name}' for name, value in options]
    # It is held until its trials are written down, under the number that it gets here.
    job = _call(
        *('sbatch', '--parsable', '--hold', f'--array=0-{len(waiting) - 1}%{max_parallel}'),
        *(
            f'--output={path}/slurm/%A.log',
            *words,
            script,
            sys.executable,
            path,
            *dict.fromkeys(o for t in trials for o in trust.options(t.config)),
        ),
    ).strip()
    with files.replacing(_trials_of(folder, job)) as temporary:
        temporary.write_text('\n'.join(waiting) + '\n')
    _call('scontrol', 'release', job)
    print(f'submitted {len(waiting)} as job {job}: squeue --job={job}')


def _queued(folder: Folder) -> set[str]:
    """The trials that wait or run in jobs of this sweep."""
    queued = set()
    for task in _call('squeue', '--me', '--array', '--noheader', '--format=%F %K').splitlines():
        job, index = task.split()
        if (trials := _trials_of(folder, job)).exists():
            queued.add(trials.read_text().splitlines()[int(index)])
    return queued


def _trials_of(folder: Folder, job: str) -> Path:
    return folder.path / 'slurm' / f'{job}.txt'


def _call(*words: str | Path) -> str:
    """What a command of Slurm prints."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(f'there is no {words[0]} here: start this where Slurm is') from None
    if done.returncode:
        raise UserError(done.stderr.strip() or f'{words[0]} ended with status {done.returncode}')
    return done.stdout
