"""Sweeps on a real Slurm cluster of this one machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genjax.records import TIMES
from genjax.sweeps.folder import Folder
from tests.sweeps import cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(cluster.missing()), reason=f'Slurm {cluster.missing()}'),
]
ROOT = Path(__file__).parents[2]


class Slurm:
    """The commands of a user."""

    def __init__(self, environment):
        self.environment = environment

    def __call__(self, *words):
        return subprocess.run(
            words, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    def sweep(self, workdir, *options):
        words = ['sweep', '--config=tests/sweeps/config.py', f'--workdir={workdir}']
        return self(sys.executable, '-m', 'genjax', *words, '--launcher=slurm', *options)

    def queue(self, field='%t'):
        return self('squeue', '--noheader', '--array', f'--format={field}').stdout.split()

    def wait_until_done(self):
        cluster.wait_for(lambda: not self.queue(), 120)


@pytest.fixture(scope='module')
def slurm(tmp_path_factory):
    with cluster.running(tmp_path_factory.mktemp('slurm')) as found:
        environment = {**found, 'XLA_FLAGS': '', 'PYTHONPATH': str(ROOT)}
        yield Slurm(environment)


def results(workdir):
    files = sorted((workdir / 'results').glob('*.json'))
    return {path.stem: json.loads(path.read_text()) for path in files}


def metrics(workdir, trial):
    """All metrics of a trial, but for its times."""
    lines = (workdir / 'trials' / trial / 'metrics.jsonl').read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def test_an_array_runs_what_is_neither_complete_nor_in_the_queue(slurm, tmp_path):
    words = (
        '--sweep=chain(product(model.beta=[.5, 2.], seed=range(2)),'
        ' product(optimizer.learning_rate=[1e30]))'
    )
    options = (words, '--max_parallel=2', '--slurm.time=0:10:00', '--slurm.comment=mine')
    options += ('--slurm.contiguous=',)
    first = slurm.sweep(tmp_path, *options)
    assert first.returncode == 0, first.stderr
    assert '0 of 5 trials are complete, 0 in the queue\nsubmitted 5 as job ' in first.stdout
    assert slurm.queue('%k') == ['mine'] * 5
    assert slurm.queue('%l') == ['10:00'] * 5

    cluster.wait_for(lambda: results(tmp_path), 60)
    again = slurm.sweep(tmp_path, *options)
    assert again.returncode == 0 and 'submitted' not in again.stdout, again.stdout

    slurm.wait_until_done()
    ends = [(result['status'], result['reason']) for result in results(tmp_path).values()]
    assert ends.count(('complete', '')) == 4
    (reason,) = [reason for status, reason in ends if status == 'failed']
    assert "the loss of phase 'vae' is nan" in reason

    again = slurm.sweep(tmp_path, *options)
    assert '4 of 5 trials are complete, 0 in the queue\nsubmitted 1 as job ' in again.stdout
    slurm('scancel', '--me')
    slurm.wait_until_done()


@pytest.mark.full
def test_processes_of_a_trial_find_each_other(slurm, tmp_path):
    started = slurm.sweep(tmp_path, '--sweep=seeds(1)', '--slurm.ntasks=2')
    assert started.returncode == 0, started.stderr
    slurm.wait_until_done()
    ((trial, result),) = results(tmp_path).items()
    log = Folder(tmp_path).log(trial).read_text()
    assert result['status'] == 'complete', log
    assert '2 device(s)' in log and log.count('from step 0 to 12') == 1
    logs = [Folder(tmp_path).log(trial, process).read_text() for process in (0, 1)]
    assert 'from step 0 to 12' in logs[0] and 'process 1 of 2 on' in logs[1].splitlines()[0]
    steps = [line['step'] for line in metrics(tmp_path, trial) if 'vae/loss' in line]
    assert steps == list(range(1, 13))


@pytest.mark.full
def test_a_trial_that_gets_sigterm_is_saved_and_requeued_and_loses_nothing(slurm, tmp_path):
    options = ('--sweep=seeds(1)', '--config.steps=2000', '--config.checkpoint_every=1000')
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    assert slurm.sweep(whole, *options).returncode == 0
    submitted = slurm.sweep(broken, *options)
    job = submitted.stdout.split()[-1].removeprefix('--job=')
    (trial,) = [row['id'] for row in Folder(broken).read()['trials']]
    written = broken / 'trials' / trial / 'metrics.jsonl'
    cluster.wait_for(lambda: written.exists() and written.read_bytes().count(b'\n') > 50, 60)
    slurm('scancel', '--signal=TERM', job)
    cluster.wait_for(lambda: f'{job}_0/PD' in slurm.queue('%i/%t'), 60)
    assert results(broken)[trial]['status'] == 'stopped'
    assert 'SIGTERM' in Folder(broken).log(trial).read_text()
    assert len(metrics(broken, trial)) < 2000

    # It would wait for two minutes; one second is too short for its credentials.
    assert slurm('scontrol', 'update', f'jobid={job}_0', 'StartTime=now+3').returncode == 0
    slurm.wait_until_done()
    assert results(broken)[trial]['status'] == 'complete'
    assert metrics(broken, trial) == metrics(whole, trial)
