"""Whatever is wrong: one line that says so, an exit status, and nothing lost."""

import json
import os
import signal
import sys
import time

import numpy as np
import pytest

from genjax.config import build
from genjax.errors import EXIT_BUSY, UserError
from genjax.training.metrics import Means
from tests.tiers import full
from tests.training import tiny
from tests.training.conftest import (
    arguments,
    records,
    steps_saved,
    the_line,
)

pytestmark = pytest.mark.slow


def test_a_missing_extra_is_said_before_a_folder_is_made(refused, workdir, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)  # as if it were not installed
    assert 'wandb extra: GENJAX_EXTRAS=wandb ./launch/local.sh' in refused(wandb='project')
    assert not workdir.exists()


def test_unknown_data_set_and_missing_config(genjax, workdir, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        'from genjax.config import spec\nfrom genjax.data import TFDS\n'
        'from tests.training import tiny\n'
        "def get_config():\n    return tiny.vae(dataset=spec(TFDS, name='no_such_data'))\n"
    )
    status, _, err = genjax('train', f'--config={config}', f'--workdir={workdir}')
    assert 'no_such_data' in the_line(status, err)
    config.write_text(
        'from tests.training import tiny\n'
        "def get_config():\n    config = tiny.vae()\n    config.steps = {'a': {'b': 1}}\n"
    )
    status, _, err = genjax('train', f'--config={config}', f'--workdir={workdir}')
    assert 'config.py:4 in get_config: TypeError' in the_line(
        status, err
    )  # of several lines, as raised
    status, _, err = genjax('train', f'--config={config}x', f'--workdir={workdir}')
    assert 'there is no config file' in the_line(status, err)
    assert not workdir.exists()


def test_workdir_that_cannot_be_made(refused, tmp_path):
    (tmp_path / 'file').write_text('')
    for workdir in (tmp_path / 'file', tmp_path / 'file' / 'run'):
        assert f'cannot write to --workdir={workdir}' in refused(workdir=workdir)


def test_workdir_that_holds_something_else_is_not_touched(refused, workdir):
    workdir.mkdir()
    (workdir / 'thesis.txt').write_text('all of it')
    before = os.stat(workdir).st_mtime_ns
    message = refused()
    assert "is not the folder of a run (it holds 'thesis.txt' and no config.json)" in message
    assert os.listdir(workdir) == ['thesis.txt'] and os.stat(workdir).st_mtime_ns == before


def test_what_a_run_leaves_that_was_killed_in_its_first_moment_is_no_hindrance(train, workdir):
    workdir.mkdir()
    (workdir / '.lock').write_text('1')
    (workdir / '.config.json.1.tmp').write_text('{"conf')
    assert train(steps=1)[0] == 0


def test_what_a_killed_run_was_writing_is_removed(train, workdir):
    assert train(steps=1)[0] == 0
    left = [workdir / '.metrics.jsonl.1.tmp', workdir / 'evaluations' / '.1.json.1.tmp']
    for path in left:
        path.touch()
    assert train(steps=2)[0] == 0
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize('content', [full(''), '{"config": ', full('[]'), full('{}'), None])
def test_damaged_config_json(content, train, refused, genjax, workdir):
    assert train(steps=1)[0] == 0
    path = workdir / 'config.json'
    if content is None:
        record = json.loads(path.read_text())
        record['config'] = {'a': 1}
        content = json.dumps(record)
    path.write_text(content)
    commands = (['sample', f'--out={workdir}.png'], ['evaluate'])
    for words in commands:
        the_line(*genjax(*words, f'--workdir={workdir}')[::2])
    refused(steps=1)
    assert path.read_text() == content and steps_saved(workdir) == [1]


@pytest.mark.full
def test_changed_config_is_refused_by_the_name_of_the_field(train, refused, workdir):
    assert train(steps=2)[0] == 0
    before = (workdir / 'config.json').read_text()
    for name, value, was in (
        ('seed', 1, 0),
        ('optimizer__learning_rate', 0.5, 0.01),
        ('dataset__variant', 1, 0),
        ('preprocess__steps', '(@genjax.data.Scale,)', None),
    ):
        message = refused(steps=4, **{name: value})
        assert f'config.{name.replace("__", ".")}' in message
        assert was is None or f'begun with {was}' in message
    assert (workdir / 'config.json').read_text() == before
    assert train(steps=4, keep=3, log_every=2, nonfinite='skip')[0] == 0


def test_changed_data_are_refused(train, refused, monkeypatch):
    assert train(steps=2)[0] == 0
    source = tiny.Blots.source
    monkeypatch.setattr(
        tiny.Blots, 'source', lambda self, split: source(tiny.Blots(variant=1), split)
    )
    assert 'the training data are not those' in refused(steps=4)


def test_a_second_run_in_the_same_folder_is_refused(processes, train, workdir, tmp_path):
    log = tmp_path / 'log'
    first = processes.start(arguments(workdir, steps=100_000, checkpoint_every=0), log)
    deadline = time.monotonic() + 60
    while not (workdir / 'metrics.jsonl').exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    status, _, err = train(steps=100_000)
    message = f'another run (process {first}) is training in {workdir}'
    assert the_line(status, err, EXIT_BUSY) == message
    before = len(records(workdir))
    while len(records(workdir)) == before and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(first, signal.SIGTERM)
    assert processes.wait() == 75, log.read_text()
    assert len(records(workdir)) > before


def test_loss_that_is_not_finite_stops_the_run_with_the_last_good_checkpoint(
    train, refused, workdir
):
    message = refused(family='nan')
    assert message.startswith("step 6: the loss of phase 'vae' is nan; checkpoints from before")
    assert steps_saved(workdir) == [2, 4]
    assert [r['step'] for r in records(workdir)] == [1, 2, 3, 4, 5]
    assert 'step 6: the loss' in refused(family='nan')  # again, from step 4
    status, out, err = train(family='nan', nonfinite='skip')
    assert (status, err) == (0, '') and 'from step 4 to 12' in out
    record = records(workdir)[5]
    assert record['vae/skipped'] == 1 and record['vae/loss'] is None
    assert out.count('  skipped 1') == 7


@pytest.mark.full
def test_parameters_that_the_last_update_spoils_are_neither_saved_nor_a_success(
    train, refused, workdir
):
    """No loss and no gradient shows them."""
    message = refused(family='spoilt')
    leaf = 'variables/params/decoder/Dense_0/bias'
    assert message.startswith(f'step 12: {leaf} is not finite, and is not saved')
    assert steps_saved(workdir) == [8, 10]
    status, out, _ = train(family='spoilt', nonfinite='skip')
    assert status == 0 and 'from step 10 to 12' in out and 'skipped 1' in out
    assert steps_saved(workdir) == [10, 12]


def test_a_run_of_skipped_updates_ends_with_a_line():
    experiment = build(tiny.vae(nonfinite='skip', log_every=1))
    means = Means(experiment, {})
    for step in range(1, 10):
        means.add(step, {'vae/skipped': np.ones(1)})
    means.add(10, {'vae/skipped': np.zeros(1)})
    with pytest.raises(UserError, match=r"step 20: all updates of phase 'vae' in 10 steps"):
        means.add(20, {'vae/skipped': np.ones(10)})
    assert means.skipped == 19


@pytest.mark.full
def test_loss_that_is_not_finite_within_a_call_of_many_steps(refused, workdir):
    message = refused(family='nan', steps_per_call=4, checkpoint_every=4)
    assert message.startswith("step 6: the loss of phase 'vae' is nan")
    assert steps_saved(workdir) == [4]


@pytest.mark.parametrize('command', ['sample', 'evaluate'])
def test_reading_what_is_no_run(command, genjax, tmp_path, workdir):
    words = [command, f'--workdir={workdir}', *([f'--out={workdir}.png'] * (command == 'sample'))]
    assert 'is not the folder of a run: it has no config.json' in the_line(*genjax(*words)[::2])
    assert not workdir.exists()
    workdir.mkdir()
    assert 'it has no config.json' in the_line(*genjax(*words)[::2])
    assert not list(workdir.iterdir())


def test_samples_that_cannot_be_drawn(train, workdir, genjax, tmp_path):
    assert train(steps=1)[0] == 0
    words = ('sample', f'--workdir={workdir}', f'--out={tmp_path / "x.png"}')
    assert 'VAE has no classes' in the_line(*genjax(*words, '--label=3')[::2])
    assert '--num must be at least 1' in the_line(*genjax(*words, '--num=0')[::2])
    words = ('sample', f'--workdir={workdir}', f'--out={workdir / "config.json" / "x.png"}')
    assert 'cannot write' in the_line(*genjax(*words)[::2])
