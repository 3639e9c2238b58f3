"""Checkpoints are evaluated beside the training: each once, whatever is killed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

from genjax.errors import RunLocked, UserError
from genjax.evaluation import Evaluator
from genjax.training import loading as runs
from genjax.training import loop
from genjax.training.follow import follow
from tests.training import tiny

pytestmark = pytest.mark.slow

STEPS = [2, 4, 6, 8]
CONFIG = tiny.vae(steps=8, checkpoint_every=2, keep=9, accumulate=1, ema=())


@dataclass(frozen=True)
class Noted(Evaluator):
    """Gives the sum of the parameters, and notes each call in a file."""

    path: str = 'calls'

    def __call__(self, model, variables, data, key):
        with open(self.path, 'a') as file:
            file.write('called\n')
        return {'sum': float(sum(np.sum(leaf) for leaf in jax.tree.leaves(variables['params'])))}


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run of eight steps that keeps all its checkpoints."""
    workdir = tmp_path_factory.mktemp('runs') / 'run'
    loop.train(CONFIG, workdir)
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    shutil.rmtree(tmp_path / 'run', ignore_errors=True)
    return Path(shutil.copytree(finished, tmp_path / 'run'))


def following(workdir, evals, say=print):
    return follow(workdir, lambda step: runs.load(workdir, step), evals, poll=0.01, say=say)


def kept(workdir):
    """What is kept of `Noted`, by step; the run itself has none."""
    found = {
        int(path.stem): json.loads(path.read_text())['evals']
        for path in (workdir / 'evaluations').glob('*.json')
    }
    return {step: next(iter(evals.values())) for step, evals in found.items() if evals}


def test_each_checkpoint_is_evaluated_once_oldest_first(workdir, tmp_path):
    evals = {'noted': Noted(path=str(tmp_path / 'calls'))}
    found = dict(following(workdir, evals))
    assert [*found] == STEPS
    for step in STEPS:
        assert found[step] == runs.load(workdir, step).evaluate(evals)
        assert kept(workdir)[step]['results'] == {'sum': found[step]['noted/sum']}
    assert len({results['noted/sum'] for results in found.values()}) == 4
    assert dict(following(workdir, evals)) == {}
    # Another evaluator of that name, and one more.
    evals = {'noted': Noted(path=str(tmp_path / 'others'))}
    assert [*dict(following(workdir, evals))] == STEPS
    events = list((workdir / 'tensorboard' / 'evaluations').iterdir())
    assert len(events) == 2 and all(b'noted/sum' in file.read_bytes() for file in events)


def test_two_do_not_follow_one_run_and_the_run_can_train(workdir, tmp_path):
    evals = {'noted': Noted(path=str(tmp_path / 'calls'))}
    first = following(workdir, evals)
    assert next(first)[0] == 2
    with pytest.raises(RunLocked, match='another process'):
        next(following(workdir, evals))
    shutil.rmtree(workdir / 'checkpoints' / '8')
    assert next(first)[0] == 4
    loop.train(CONFIG, workdir)
    assert [step for step, _ in first] == [6, 8]


def test_a_checkpoint_that_is_gone_is_named(workdir, tmp_path):
    said, evals = [], {'noted': Noted(path=str(tmp_path / 'calls'))}

    def load(step):
        if step == 4:
            shutil.rmtree(workdir / 'checkpoints' / '4', ignore_errors=True)
        return runs.load(workdir, step)

    found = dict(follow(workdir, load, evals, poll=0.01, say=said.append))
    assert [*found] == [2, 6, 8]
    assert said == ['checkpoint 4 was removed before its turn: keep more (config.keep)']


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match='not the folder of a run'):
        next(following(tmp_path, {}))


@pytest.mark.full
@pytest.mark.parametrize('kills', [1, 50])
def test_killed_at_any_moment_it_loses_and_repeats_nothing(workdir, tmp_path, kills):
    """What was not kept before a kill is evaluated again, at most once for each kill."""
    random = np.random.default_rng(kills)
    calls = tmp_path / 'calls'
    command = [
        sys.executable, '-m', 'genjax', 'evaluate', f'--workdir={workdir}', '--follow',
        '--evals=@tests.training.test_follow.Noted', f'--evals.path={calls}', '--poll=0.1',
        '--trust=tests',
    ]  # fmt: skip
    times = {}
    for number in range(1, kills + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # From the first evaluation on, where a kill can hurt.
        before, limit = len(kept(workdir)), time.monotonic() + 60
        while len(kept(workdir)) == before and process.poll() is None and number % 4:
            assert time.monotonic() < limit
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.5 if number % 4 else 4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for step, evals in kept(workdir).items():
            when = evals['provenance']['time'], evals['results']['sum']
            assert times.setdefault(step, when) == when
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = kept(workdir)
    assert sorted(found) == STEPS
    assert len(calls.read_text().splitlines()) <= len(STEPS) + kills
    for step, evals in found.items():
        evaluated = runs.load(workdir, step).evaluate({'n': Noted(path=str(calls))})
        assert evals['results']['sum'] == evaluated['n/sum']
