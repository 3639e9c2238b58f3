"""A run that is stopped, however, and started again ends where it would have ended anyway."""

import os
import random
import signal
import time

import pytest

from genjax.records import timesheet as timesheet_of
from genjax.training.metrics import MetricLog
from tests.tiers import few, full
from tests.training.conftest import arguments, assert_same, records, state_of, steps_saved

KEY = {'vae': 'vae/loss', 'gan': 'generator/loss', 'optimized': 'generator/loss'}
FAMILIES = pytest.mark.parametrize('family', ['vae', 'gan'])


@pytest.mark.parametrize('family', few(list(KEY), ['vae', 'optimized']))
def test_twice_n_steps_are_n_and_n(family, train, tmp_path):
    for steps in (6, 12):
        status, _, err = train(family=family, steps=steps)
        assert (status, err) == (0, '')
    status, _, err = train(family=family, workdir=tmp_path / 'whole')
    assert (status, err) == (0, '')
    assert_same(state_of(tmp_path / 'run', family), state_of(tmp_path / 'whole', family))
    assert records(tmp_path / 'run', KEY[family]) == records(tmp_path / 'whole', KEY[family])


@pytest.mark.slow
@pytest.mark.parametrize(
    ('family', 'kills'),
    [
        ('gan', 4),
        full('gan', 10),
        full('vae', 10),
    ],
)
def test_kills_at_random_moments(family, kills, processes, tmp_path):
    """`kill -9`, half of them aimed at a save."""
    generator = random.Random(family)
    workdir, log = tmp_path / 'run', tmp_path / 'log'
    words = arguments(
        workdir, family=family, steps=100_000, checkpoint_every=1, keep=1, sample_every=7,
        log_every=3,
    )  # fmt: skip
    processes.start(['--help'], tmp_path / 'help')
    assert processes.wait() == 0  # all is imported
    saved, torn, wait_for, begun = [0], 0, 1, time.time()
    for kill in range(kills):
        child = processes.start(words, log)
        _wait_for_step(workdir, wait_for, KEY[family], log)
        time.sleep(generator.uniform(0, 0.4))
        while kill % 2 and not any((workdir / 'checkpoints').glob('*tmp*')):
            time.sleep(0.001)  # every other kill waits for a save to be under way
        os.kill(child, signal.SIGKILL)
        assert processes.wait() == -signal.SIGKILL, log.read_text()
        now = steps_saved(workdir) or [0]
        assert max(now) >= max(saved), 'the newest checkpoint is lost'
        saved = now
        torn += any((workdir / 'checkpoints').glob('*tmp*'))
        wait_for = max(now) + 1
    assert torn, 'the kills missed the saves'

    steps = max(saved) + 3
    for folder in (tmp_path / 'whole', workdir):
        fields = {'family': family, 'steps': steps, 'checkpoint_every': 0, 'log_every': 3}
        processes.start(arguments(folder, **fields), log)
        assert processes.wait() == 0, log.read_text()
    passed = time.time() - begun
    assert 'damaged' not in log.read_text()
    assert not list((workdir / 'checkpoints').glob('*tmp*'))
    assert_same(state_of(workdir, family), state_of(tmp_path / 'whole', family))
    resumed, whole = (records(f, KEY[family]) for f in (workdir, tmp_path / 'whole'))
    assert [r['step'] for r in resumed] == list(range(3, steps + 1, 3))
    assert resumed == whole
    # But for the first words of the first process, and the last of the last.
    accounted = sum(timesheet_of(workdir)['seconds'].values())
    assert accounted == pytest.approx(passed, rel=0.01, abs=3)


def _wait_for_step(workdir, step, key, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if records(workdir, key)[-1]['step'] >= step:
                return
        except (OSError, ValueError, IndexError):
            pass
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@pytest.fixture
def signalled(monkeypatch):
    """`signalled(SIGTERM, 5)`: it arrives during step 5."""
    push = MetricLog.push

    def at(number, when):
        def push_and_send(self, step, metrics):
            push(self, step, metrics)
            if step == when:
                monkeypatch.setattr(MetricLog, 'push', push)
                os.kill(os.getpid(), number)

        monkeypatch.setattr(MetricLog, 'push', push_and_send)

    return at


@pytest.mark.parametrize(
    ('number', 'name'), [full(signal.SIGTERM, 'SIGTERM'), (signal.SIGINT, 'Ctrl-C')]
)
def test_signals_save_and_say_how_to_go_on(number, name, signalled, train, workdir):
    signalled(number, 5)
    status, _, err = train()
    assert status == 75
    assert err == (
        f'genjax: {name}: saved step 5 of 12 in {workdir}; the same command resumes from there\n'
    )
    assert steps_saved(workdir) == [5]
    status, out, err = train()
    assert (status, err) == (0, '') and 'from step 5 to 12' in out
    assert [r['step'] for r in records(workdir)] == list(range(1, 13))


@pytest.mark.full
def test_a_signal_during_the_last_step_leaves_pictures_and_evaluation_to_the_next_start(
    signalled, train, workdir
):
    signalled(signal.SIGTERM, 12)
    status, _, err = train()
    assert status == 75 and 'saved step 12 of 12' in err
    assert not (workdir / 'evaluations').exists() and not (workdir / 'samples').exists()
    status, out, _ = train()
    assert status == 0 and 'from step 12 to 12' in out
    assert (workdir / 'evaluations' / '12.json').exists()
    assert (workdir / 'samples' / '12.png').exists()
    status, out, _ = train()
    assert status == 0 and 'is complete' in out


@pytest.mark.full
def test_a_signal_outside_of_the_steps_ends_at_once(train, monkeypatch, workdir):
    monkeypatch.setattr(
        'genjax.training.results.keep', lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    status, _, err = train()
    assert status == 75
    assert err == 'genjax: SIGTERM: stopped at once; the same command resumes from what is saved\n'
    assert steps_saved(workdir) == [12]
    metrics = (workdir / 'metrics.jsonl').read_text()
    monkeypatch.undo()
    assert train()[0] == 0
    assert (workdir / 'metrics.jsonl').read_text() == metrics


def test_a_second_ctrl_c_does_not_wait(signalled, train, monkeypatch, workdir):
    signalled(signal.SIGINT, 5)
    monkeypatch.setattr(
        'genjax.training.checkpoints.Checkpoints.save',
        lambda *_, **__: os.kill(os.getpid(), signal.SIGINT),
    )
    status, _, err = train()
    assert status == 75 and err.startswith('genjax: Ctrl-C: stopped at once')
    assert steps_saved(workdir) == []


def test_handlers_are_as_they_were_afterwards(train):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    train(steps=1)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_complete_run_says_so_and_more_steps_continue_it(train, workdir):
    assert train(steps=2)[0] == 0
    written = (workdir / 'metrics.jsonl').read_text()
    status, out, err = train(steps=2)
    assert (status, err) == (0, '') and f'{workdir} is complete: 2 of 2 steps' in out
    assert (workdir / 'metrics.jsonl').read_text() == written
    status, out, err = train(steps=4)
    assert (status, err) == (0, '') and 'from step 2 to 4' in out


@pytest.mark.full
def test_a_resumed_run_needs_calls_that_end_at_its_last_step(train, refused):
    assert train(steps=3)[0] == 0
    assert 'steps_per_call=2 does not divide step 3' in refused(steps=6, steps_per_call=2)
    assert train(steps=6, steps_per_call=3, checkpoint_every=0)[0] == 0
