"""Populations: what becomes of the members is what becomes of single runs."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from genjax import cli
from genjax.errors import CannotWrite
from genjax.parallel import preemption
from genjax.records import TIMES, timesheet
from genjax.sweeps.folder import Folder
from genjax.training import loading as runs
from genjax.training import loop
from genjax.training.writers import MetricWriter
from tests.tiers import full
from tests.training import tiny
from tests.training.conftest import assert_same, steps_saved

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4


@pytest.fixture
def sweep(capfd, monkeypatch, tmp_path):
    """`sweep('vae', words, …) -> (status, out, err)`: on one device, in `tmp_path/runs`."""
    have(monkeypatch, jax.devices()[:1])

    def run(family, words, *options, folder='runs', launcher='vectorized'):
        capfd.readouterr()
        status = cli.main(
            [
                'sweep',
                f'--config=tests/sweeps/config.py:{family}',
                f'--sweep={words}',
                f'--workdir={tmp_path / folder}',
                f'--launcher={launcher}',
                *options,
            ]
        )
        return status, *capfd.readouterr()

    return run


def have(monkeypatch, devices):
    monkeypatch.setattr('jax.devices', lambda: devices)
    monkeypatch.setattr('jax.device_count', lambda: len(devices))


def records(workdir):
    lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def assert_same_runs(one, other, tolerance=TOLERANCE):
    """Their states, metrics and results."""
    for step in ('latest', 'best'):
        a, b = runs.load(one, step), runs.load(other, step)
        assert a.step == b.step
        assert_same(a.state, b.state, tolerance)
    a, b = records(one), records(other)
    assert [line.keys() for line in a] == [line.keys() for line in b]
    for line, expected in zip(a, b, strict=True):
        np.testing.assert_allclose(
            list(line.values()), list(expected.values()), tolerance, tolerance
        )
    files = {path.relative_to(one) for path in one.rglob('*.png')}
    assert files == {path.relative_to(other) for path in other.rglob('*.png')}
    for path in (one / 'evaluations').glob('*.json'):
        a, b = (json.loads((run / 'evaluations' / path.name).read_text()) for run in (one, other))
        assert a['evals'].keys() == b['evals'].keys()
        for name, kept in a['evals'].items():
            assert kept['results'] == pytest.approx(b['evals'][name]['results'], rel=tolerance)
        assert a['config'] == b['config']


@pytest.mark.parametrize(
    ('family', 'words'),
    [
        (
            'accumulated',
            'zip(optimizer.learning_rate=[1e-3,1e-2], model.beta=[.5,2.], seed=[0,7])',
        ),
        full(
            'gan',
            'zip(optimizer.generator.learning_rate=[1e-3,1e-2],'
            ' optimizer.discriminator.b1=[.5,.9], ema=[(.9,),(.8,)], clip_norm=[.1,1.])',
        ),
        full(
            'optimized',
            'zip(optimizer.generator.learning_rate=[1e-3,1e-2],'
            ' optimizer.discriminator.learning_rate=[1e-2,1e-3])',
        ),
        full(
            'convolutions',
            'zip(optimizer.generator.learning_rate=[1e-3,1e-2], seed=[1,2])',
        ),
    ],
)
def test_members_are_single_runs(family, words, sweep, tmp_path):
    status, out, err = sweep(family, words)
    assert (status, err) == (0, '')
    assert 'in 1 program(s)' in out
    folder = Folder(tmp_path / 'runs')
    trials = folder.trials()
    assert not list(folder.path.glob('populations/*'))
    for trial in trials.values():
        assert folder.result(trial.id)['status'] == 'complete'
        loop.train(trial.config, tmp_path / 'alone' / trial.id)
        assert_same_runs(folder.workdir(trial.id), tmp_path / 'alone' / trial.id)
    assert f'{len(trials)} of {len(trials)} trials have ended already' in sweep(family, words)[1]


@pytest.mark.full
def test_members_lie_on_all_devices(sweep, monkeypatch, tmp_path):
    """Three members on eight devices, some of which have nothing to do."""
    words = 'product(optimizer.learning_rate=[1e-3,3e-3,1e-2])'
    sweep('judged', words, folder='one')
    have(monkeypatch, jax.local_devices())
    status, out, err = sweep('judged', words)
    assert (status, err) == (0, '') and f'{len(jax.devices())} device(s)' in out
    for trial in Folder(tmp_path / 'runs').trials():
        assert_same_runs(tmp_path / 'runs/trials' / trial, tmp_path / 'one/trials' / trial)


@pytest.mark.full
def test_a_member_that_is_not_finite_ends_alone(sweep, tmp_path):
    status, out, err = sweep('nan', 'product(model.beta.schedule.step=[99,5,98])')
    assert status == 2
    reason = "model.beta.schedule.step=5: step 6: the loss of phase 'vae' is nan"
    assert reason in err and reason in out.replace('failed: ', '')
    folder = Folder(tmp_path / 'runs')
    good, bad, other = folder.trials()
    assert folder.result(bad)['status'] == 'failed'
    assert records(folder.workdir(bad))[-1]['step'] == 5
    assert records(folder.workdir(good))[-1]['step'] == 12
    loop.train(folder.trials()[other].config, tmp_path / other)
    assert_same_runs(folder.workdir(other), tmp_path / other)
    status, out, again = sweep('nan', 'product(model.beta.schedule.step=[99,5,98])')
    assert '3 of 3 trials have ended already' in out and again == err


@pytest.mark.full
def test_a_member_ends_early_alone(sweep, tmp_path):
    options = ('--config.patience=2', '--config.steps=20')
    status, _, err = sweep('judged', 'product(optimizer.learning_rate=[1e-12,.01])', *options)
    assert (status, err) == (0, '')
    folder = Folder(tmp_path / 'runs')
    still, moving = folder.trials()
    assert steps_saved(folder.workdir(still))[-1] == 6
    assert steps_saved(folder.workdir(moving))[-1] == 20
    for trial in (still, moving):
        loop.train(folder.trials()[trial].config, tmp_path / trial)
        assert_same_runs(folder.workdir(trial), tmp_path / trial)


@pytest.mark.full
def test_a_population_goes_on_bit_for_bit(sweep, tmp_path):
    """Stopped by SIGTERM once, killed once; every second has one use."""
    words = 'product(optimizer.learning_rate=[1e-3,1e-2], seed=[0,1])'
    options = ('--config.steps=300', '--config.checkpoint_every=25')
    options += ('--config.evals.moved.every=100',)
    command = [
        sys.executable, '-m', 'genjax', 'sweep', '--config=tests/sweeps/config.py:judged',
        f'--sweep={words}', f'--workdir={tmp_path / "runs"}', '--launcher=vectorized', *options,
    ]  # fmt: skip
    folder = Folder(tmp_path / 'runs')
    before, began = 0, None
    for number, status in ((signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)):
        flags = f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count=1'
        environment = {**os.environ, 'XLA_FLAGS': flags}
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if began is None and any(folder.path.glob('populations/*')):
                began = time.time()
            saved = [int(p.name) for p in folder.path.glob('populations/*/checkpoints/[0-9]*')
                     if p.name.isdigit()]  # fmt: skip
            if saved and max(saved) >= before + 25:
                break
            time.sleep(0.01)
        child.send_signal(number)
        assert child.wait(60) == status
        before = max(saved)
        assert {p.name for p in folder.path.glob('populations/*')}
    assert sweep('judged', words, *options)[0] == 0
    sheets = [timesheet(folder.workdir(trial)) for trial in folder.trials()]
    assert all(sheet['seconds'] == sheets[0]['seconds'] for sheet in sheets)
    total = sum(sum(sheet['seconds'].values()) for sheet in sheets)
    assert total == pytest.approx(sheets[0]['until'] - began, rel=0.01, abs=1)
    assert min(sheets[0]['seconds'][use] for use in ('start', 'compile', 'step', 'idle')) > 0
    assert sweep('judged', words, *options, folder='whole')[0] == 0
    for trial in folder.trials():
        assert_same_runs(folder.workdir(trial), tmp_path / 'whole/trials' / trial, tolerance=0)


@pytest.mark.parametrize(('step', 'mode'), [(2, 'max'), full(12, 'min')])
def test_a_population_killed_between_a_record_and_its_checkpoint(
    step, mode, sweep, monkeypatch, tmp_path
):
    """It is that of the best step: no member is judged by another for it."""
    option = f'--config.best_mode={mode}'

    class Killed(BaseException):
        pass

    write = MetricWriter.write

    def killed(self, at, metrics):
        write(self, at, metrics)
        if at == step and 'moved/moved' in metrics:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MetricWriter, 'write', killed)
        with pytest.raises(Killed):
            sweep('judged', 'seeds(2)', option)
    assert sweep('judged', 'seeds(2)', option)[0] == 0
    assert sweep('judged', 'seeds(2)', option, folder='whole')[0] == 0
    for trial in Folder(tmp_path / 'runs').trials():
        assert_same_runs(tmp_path / 'runs/trials' / trial, tmp_path / 'whole/trials' / trial, 0)


@pytest.mark.full
def test_a_population_stopped_in_its_tests_loses_no_member(sweep, monkeypatch, tmp_path):
    moved, stops = tiny.moved, [True]

    def stopped(model, variables, data, key):
        if data.split == 'test' and stops:
            os.kill(os.getpid(), signal.SIGTERM)
            stops.clear()
            preemption.sync_point()
        return moved(model, variables, data, key)

    # Without evaluations a member has a checkpoint at its end alone.
    options = ('--config.best=None', '--config.evals.moved.every=0')
    monkeypatch.setattr(tiny, 'moved', stopped)
    status, _, err = sweep('judged', 'seeds(3)', *options)
    assert status == 75 and 'saved step 12 of 12' in err
    assert sweep('judged', 'seeds(3)', *options)[::2] == (0, '')
    folder = Folder(tmp_path / 'runs')
    assert all(steps_saved(folder.workdir(trial)) == [12] for trial in folder.trials())


def test_an_evaluator_that_fails_on_one_member_ends_it_alone(sweep, monkeypatch, tmp_path):
    moved = tiny.moved

    def failing(model, variables, data, key):
        return moved(model, variables, data, key) if model.beta < 1 else 1 / 0

    monkeypatch.setattr(tiny, 'moved', failing)
    status, _, err = sweep('judged', 'product(model.beta=[.5,2.])')
    folder = Folder(tmp_path / 'runs')
    good, bad = folder.trials()
    assert status == 2 and err.count('\n') == 1
    assert 'model.beta=2.0: ' in err and ' in failing: ZeroDivisionError: division by zero' in err
    assert 'Traceback' in folder.log(bad).read_text()
    assert folder.result(good)['status'] == 'complete'


@pytest.mark.full
def test_a_disk_that_is_full_ends_no_member(sweep, monkeypatch, tmp_path):
    write = MetricWriter.write

    def full(self, step, metrics):
        if step == 8:
            raise CannotWrite('cannot write metrics.jsonl: No space left on device')
        write(self, step, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(MetricWriter, 'write', full)
        status, _, err = sweep('judged', 'seeds(2)')
    assert status == 2 and 'No space left' in err
    folder = Folder(tmp_path / 'runs')
    assert list(folder.path.glob('populations/*'))
    assert sweep('judged', 'seeds(2)')[::2] == (0, '')
    assert all(steps_saved(folder.workdir(trial))[-1] == 12 for trial in folder.trials())


@pytest.mark.full
def test_a_population_that_was_not_asked_for_is_left_alone(sweep, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(MetricWriter, 'write', lambda *_: 1 / 0)
        status, _, err = sweep('vae', 'product(seed=[0,1])')
        assert status == 2 and 'ZeroDivisionError' in err
    _, out, _ = sweep('vae', 'product(seed=[2])')
    assert '1 trials in 1 program(s)' in out
    assert len(list(tmp_path.glob('runs/populations/*'))) == 1


@pytest.mark.full
def test_max_parallel_bounds_a_population(sweep):
    _, out, _ = sweep('vae', 'product(seed=[0,1,2])', '--max_parallel=2')
    assert '3 trials in 2 program(s)\nprogram 1: 2 trials; traced: seed\nprogram 2: 1 ' in out


def test_a_check_lists_the_programs(sweep):
    _, out, _ = sweep('vae', 'product(seed=[0,1,2])', '--check')
    assert out.splitlines()[-2:] == [
        '3 trials in 1 program(s)',
        'program 1: 3 trials; traced: seed',
    ]


@pytest.mark.parametrize(
    ('field', 'name'), [('--config.mesh.fsdp=8', 'mesh'), ('--config.profile=(1,2)', 'profile')]
)
def test_what_members_cannot_have_is_refused(field, name, sweep, tmp_path):
    status, _, err = sweep('vae', 'product(model.beta=[.5,2.])', field)
    assert status == 2
    assert f'model.beta=0.5: config.{name} does not go with --launcher=vectorized' in err
    assert not (tmp_path / 'runs' / 'trials').exists()


@pytest.mark.full
def test_a_trial_that_was_begun_alone_is_left_to_the_local_launcher(sweep, tmp_path):
    words = 'product(seed=[3])'
    assert sweep('vae', words)[0] == 0
    folder = Folder(tmp_path / 'runs')
    (trial,) = folder.trials()
    (folder.path / 'results' / f'{trial}.json').unlink()
    status, _, err = sweep('vae', words)
    assert status == 2
    assert 'seed=3: the trial was begun as a run of its own; --launcher=local resumes' in err
    assert sweep('vae', words, launcher='local')[0] == 0
