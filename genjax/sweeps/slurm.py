"""Submits the trials of a sweep to Slurm as a job array. Files in the sweep folder:

slurm/JOB.txt    trials of the array, one per line: line i, from 0, is task i
slurm/JOB.log    output of the tasks outside of their trials; normally empty
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
    """Submits the trials that are neither complete nor queued.

    Args:
        folder: sweep folder with the trials recorded.
        trials: trials to run.
        max_parallel: number of concurrent tasks.
        options: options of sbatch with values; '' for flags.
        script: `launch/slurm.sh` or a copy of it.

    Raises:
        UserError: Slurm is missing, lacks an option, or rejects the job.
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
    # Submitted on hold until its trials are recorded under its job id.
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
    """Trials pending or running in jobs of this sweep."""
    queued = set()
    for task in _call('squeue', '--me', '--array', '--noheader', '--format=%F %K').splitlines():
        job, index = task.split()
        if (trials := _trials_of(folder, job)).exists():
            queued.add(trials.read_text().splitlines()[int(index)])
    return queued


def _trials_of(folder: Folder, job: str) -> Path:
    return folder.path / 'slurm' / f'{job}.txt'


def _call(*words: str | Path) -> str:
    """Returns the output of a Slurm command."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(f'there is no {words[0]} here: start this where Slurm is') from None
    if done.returncode:
        raise UserError(done.stderr.strip() or f'{words[0]} ended with status {done.returncode}')
    return done.stdout
