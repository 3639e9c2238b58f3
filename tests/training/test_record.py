"""What a folder holds after a start: whose it is, and what may change on the next one."""

import json
import shutil

import jax
import pytest

from genjax.errors import UserError
from genjax.training.metrics import MetricLog
from tests.training.conftest import assert_same, records, state_of, steps_saved, the_line


def record_of(workdir):
    return json.loads((workdir / 'config.json').read_text())


@pytest.fixture
def failing(monkeypatch):
    """`failing(2)`: the run ends with an error after step 2."""
    push = MetricLog.push

    def at(when):
        def push_and_fail(self, step, metrics):
            push(self, step, metrics)
            if step == when:
                monkeypatch.setattr(MetricLog, 'push', push)
                raise UserError('no such luck')

        monkeypatch.setattr(MetricLog, 'push', push_and_fail)

    return at


def test_without_a_checkpoint_there_is_nothing_to_protect(failing, train, workdir):
    failing(3)
    assert train()[0] == 2
    assert steps_saved(workdir) == [] and records(workdir)
    first = record_of(workdir)
    assert train(steps=4, seed=1, model__latent_dim=2)[0] == 0
    second = record_of(workdir)
    assert second['config']['seed'] == 1 and len(second['starts']) == 1
    assert second['id'] != first['id']
    assert [r['step'] for r in records(workdir)] == [1, 2, 3, 4]


def test_the_record_is_that_of_the_checkpoints(train, refused, workdir):
    assert train(steps=4)[0] == 0
    before = (workdir / 'config.json').read_text()
    assert f'config.steps=2, but the run in {workdir} has done 4 steps' in refused(steps=2)
    assert 'does not divide step 4' in refused(steps=9, steps_per_call=3, checkpoint_every=0)
    assert (workdir / 'config.json').read_text() == before
    assert train(steps=6)[0] == 0
    assert record_of(workdir)['config']['steps'] == 6


@pytest.mark.parametrize('what', ['the folder', 'all that is in it'])
def test_checkpoints_that_are_gone_are_missed(what, train, refused, workdir):
    assert train(steps=2)[0] == 0
    metrics = (workdir / 'metrics.jsonl').read_text()
    shutil.rmtree(workdir / 'checkpoints')
    if what != 'the folder':
        (workdir / 'checkpoints').mkdir()
    assert 'its checkpoints are gone' in refused(steps=4)
    assert (workdir / 'metrics.jsonl').read_text() == metrics


@pytest.mark.parametrize(
    ('setting', 'value'),
    [
        ('jax_enable_x64', True),
        ('jax_default_prng_impl', 'rbg'),
        ('jax_threefry_partitionable', False),
        ('jax_random_seed_offset', 1),
    ],
)
def test_settings_that_make_other_numbers_are_refused(setting, value, train, genjax, workdir):
    before = getattr(jax.config, setting)
    train(steps=1)
    jax.config.update(setting, value)
    try:
        for words in (['sample', f'--out={workdir}.png'], ['evaluate']):
            line = the_line(*genjax(*words, f'--workdir={workdir}')[::2])
            assert f'was begun with {setting.upper()}={before}, and here it is {value}' in line
        line = the_line(*train(steps=2)[::2])
        assert f'set {setting.upper()}={before}' in line
    finally:
        jax.config.update(setting, before)
    assert steps_saved(workdir) == [1] and not (workdir / 'damaged_checkpoints').exists()


@pytest.mark.parametrize('calls', [1, 2])
def test_the_metrics_of_a_resumed_run_are_bit_for_bit_those_of_one_that_was_not(
    calls, train, tmp_path
):
    """The checkpoints are between two records."""
    fields = {'log_every': 8, 'steps_per_call': calls, 'checkpoint_every': 0}
    for steps in (2, 6, 10, 20):
        assert train(**fields, steps=steps)[0] == 0
    assert train(**fields, steps=20, workdir=tmp_path / 'whole')[0] == 0
    assert records(tmp_path / 'run') == records(tmp_path / 'whole')
    assert [r['step'] for r in records(tmp_path / 'run')] == [8, 16]
    assert_same(state_of(tmp_path / 'run'), state_of(tmp_path / 'whole'))
