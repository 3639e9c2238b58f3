"""Sweeps by the command line, in processes that are stopped and killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from genjax.errors import EXIT_BUSY
from genjax.records import TIMES
from genjax.sweeps.folder import Folder

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, '-m', 'genjax', 'sweep', '--config=tests/sweeps/config.py']


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    cache = tmp_path_factory.mktemp('cache')
    return {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XDG_CACHE_HOME': str(cache)}


@pytest.fixture(scope='module')
def whole(environment, tmp_path_factory):
    """A sweep that nothing happened to."""
    folder = tmp_path_factory.mktemp('whole') / 'runs'
    done = sweep(environment, folder, '--max_parallel=2')
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(': complete') == 4 and '[4/4]' in done.stdout
    return folder


def sweep(environment, workdir, *options):
    return subprocess.run(
        [*COMMAND, f'--workdir={workdir}', *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def metrics(workdir):
    """All metrics of every trial, but for its times."""
    found = {}
    for path in (workdir / 'trials').iterdir():
        lines = map(json.loads, (path / 'metrics.jsonl').read_text().splitlines())
        found[path.name] = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
    return found


def test_runs_every_trial_and_then_only_new_ones(environment, tmp_path):
    seeds = '--sweep=product(seed=[{}])'
    done = sweep(environment, tmp_path / 'runs', seeds.format('0,1'), '--max_parallel=2')
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(': complete') == 2 and '[2/2]' in done.stdout
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'runs' / 'logs').iterdir()}

    more = sweep(environment, tmp_path / 'runs', '--sweep=product(model.beta=[.5,2.], seeds(3))')
    assert more.returncode == 2 and 'cannot read' in more.stderr  # a part after a keyword

    more = sweep(environment, tmp_path / 'runs', seeds.format('0,1,2'))
    assert more.returncode == 0, more.stderr
    assert '2 of 3 trials are complete already' in more.stdout
    assert more.stdout.count(': complete') == 1
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())
    assert len(Folder(tmp_path / 'runs').read()['trials']) == 3


@pytest.mark.full
def test_a_trial_that_fails_is_reported_and_stops_no_other(environment, tmp_path):
    options = '--sweep=product(optimizer.learning_rate=[1e30, 1e-3])'
    result = sweep(environment, tmp_path / 'runs', options)
    assert result.returncode == 2
    assert '1 of 2 trials failed; optimizer.learning_rate=1e+30' in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    found = [json.loads(p.read_text()) for p in (tmp_path / 'runs' / 'results').iterdir()]
    assert sorted(r['status'] for r in found) == ['complete', 'failed']


def test_bad_trials_stop_the_sweep_before_the_folder_is_made(environment, tmp_path):
    result = sweep(environment, tmp_path / 'runs', '--sweep=product(model.bta=[1])')
    assert result.returncode == 2 and "did you mean 'model.beta'?" in result.stderr
    assert not (tmp_path / 'runs').exists()


def test_another_folder_is_refused(environment, tmp_path):
    (tmp_path / 'sweep').mkdir()
    (tmp_path / 'sweep' / 'notes.txt').write_text('mine')
    result = sweep(environment, tmp_path / 'sweep')
    assert result.returncode == 2 and "it holds 'notes.txt'" in result.stderr


@pytest.mark.full
@pytest.mark.parametrize(
    'signals',
    [
        (signal.SIGTERM, signal.SIGKILL),
        pytest.param(
            (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL),
            marks=pytest.mark.full,
        ),
    ],
    ids=len,
)
def test_a_sweep_killed_at_any_moment_loses_and_repeats_nothing(
    signals, environment, whole, tmp_path
):
    moments = random.Random(0)
    broken = tmp_path / 'broken'
    completed = set()
    for number in signals:
        process = subprocess.Popen(
            [*COMMAND, f'--workdir={broken}', '--max_parallel=2'],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not (broken / 'sweep.json').exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 6))
        second = sweep(environment, broken)
        if process.poll() is None:
            assert second.returncode == EXIT_BUSY and 'another sweep is running' in second.stderr
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        if process.returncode == 2:  # what the one before it ran is still being saved
            assert 'another sweep is running' in errors
        else:
            assert process.returncode in (0, 75, 130, -number), errors
        again = {line.split()[1] for line in output.splitlines() if line.endswith(': complete')}
        assert not again & completed
        completed |= again

    deadline = time.monotonic() + 60
    while (last := sweep(environment, broken)).returncode == 2:  # what was killed is being saved
        assert 'still being saved' in last.stderr and time.monotonic() < deadline
        time.sleep(0.2)
    assert last.returncode == 0, last.stderr
    assert metrics(broken) == metrics(whole)
