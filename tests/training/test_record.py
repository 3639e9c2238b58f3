"""What a folder holds after a start: whose it is, and what may change on the next one."""

import functools
import json
import shutil

import jax
import optax
import pytest

import genjax.data
import genjax.models
import genjax.networks
from genjax import config as configs
from genjax.config import FieldReference, spec
from genjax.data import TFDS
from genjax.data.sources import sampled_fingerprint
from genjax.errors import CannotWrite, UserError
from genjax.models.diffusion import (
    Autoguidance,
    ClassifierFree,
    DiffusionModel,
    DiffusionSampling,
)
from genjax.networks import TimeMLP, UNet
from genjax.training import loading as runs
from genjax.training import loop, results
from genjax.training.checkpoints import Checkpoints
from genjax.training.metrics import MetricLog
from genjax.training.workdir import begin, claim
from tests.tiers import full
from tests.training import tiny
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


@pytest.mark.parametrize('what', [full('the folder'), 'all that is in it'])
def test_checkpoints_that_are_gone_are_missed(what, train, refused, workdir):
    assert train(steps=2)[0] == 0
    metrics = (workdir / 'metrics.jsonl').read_text()
    shutil.rmtree(workdir / 'checkpoints')
    if what != 'the folder':
        (workdir / 'checkpoints').mkdir()
    assert 'its checkpoints are gone' in refused(steps=4)
    assert (workdir / 'metrics.jsonl').read_text() == metrics


def test_settings_that_make_other_numbers_are_refused(train, genjax, workdir):
    train(steps=1)
    for setting, value in (
        ('jax_enable_x64', True),
        ('jax_default_prng_impl', 'rbg'),
        ('jax_threefry_partitionable', False),
        ('jax_random_seed_offset', 1),
    ):
        before = getattr(jax.config, setting)
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


@pytest.mark.parametrize('calls', [full(1), 2])
def test_the_metrics_of_a_resumed_run_are_bit_for_bit_those_of_one_that_was_not(
    calls, train, tmp_path
):
    """The checkpoints are between two records."""
    fields = {'log_every': 8, 'steps_per_call': calls, 'checkpoint_every': 0}
    for steps in (6, 20):
        assert train(**fields, steps=steps)[0] == 0
    assert train(**fields, steps=20, workdir=tmp_path / 'whole')[0] == 0
    assert records(tmp_path / 'run') == records(tmp_path / 'whole')
    assert [r['step'] for r in records(tmp_path / 'run')] == [8, 16]
    assert_same(state_of(tmp_path / 'run'), state_of(tmp_path / 'whole'))


@pytest.mark.full
def test_changes_that_do_not_change_the_training_are_accepted(train):
    changes = {'accumulate': 1, 'model__eval_samples': 7, 'mesh__fsdp': 1, 'num_samples': 9}
    assert train(steps=1)[0] == 0
    assert train(steps=2, **changes)[0] == 0


def test_models_networks_and_data_say_which_of_their_fields_do_not_change_the_training():
    config = spec(
        DiffusionModel,
        network=spec(UNet, shape=(8, 8, 1), remat='dots'),
        sampling=spec(DiffusionSampling, guide=spec(ClassifierFree)),
        num_classes=3,
    )
    free = {name for name, _ in configs.declared(config, 'FREE')}
    assert {'network.remat', 'sampling', 'eval_samples'} <= free
    assert not {'network', 'path', 'weighting', 'times', 'condition_dropout', 'coupling'} & free
    fields = {f'{kind.__name__}.{name}' for kind in _constructors() for name in kind.FREE}
    for kind in _constructors():
        for name in ('remat', 'eval_samples', 'in_memory'):
            if name in getattr(kind, '__dataclass_fields__', ()):
                assert f'{kind.__name__}.{name}' in fields
        assert set(kind.FREE) <= set(kind.__dataclass_fields__)


def test_a_resumed_run_may_change_its_guide_but_not_the_networks_of_one(tmp_path):
    """Those are trained with the model."""
    network = spec(TimeMLP, shape=(2,))
    source = TFDS('gaussians/ring').source('test')

    def config(guide, steps=50):
        sampling = spec(DiffusionSampling, steps=steps, guide=guide)
        return spec(DiffusionModel, network=network, num_classes=3, sampling=sampling)

    def begun(name, guide):
        begin(tmp_path / name, claim(tmp_path / name, config(guide), {}, source, {}))
        (tmp_path / name / 'checkpoints' / '1').mkdir(parents=True)
        return functools.partial(claim, tmp_path / name, example={}, source=source, preprocess={})

    free = begun('free', spec(ClassifierFree))
    for guide in (spec(ClassifierFree, weight=3.0), None):
        free(config=config(guide, steps=3))
    weak = spec(Autoguidance, network=spec(TimeMLP, shape=(2,), features=4))
    with pytest.raises(UserError, match=r'config\.sampling\.guide is .*Autoguidance.* begun with'):
        free(config=config(weak))
    trained = begun('trained', weak)
    again = spec(Autoguidance, network=spec(TimeMLP, shape=(2,), features=4), weight=3.0)
    trained(config=config(again, steps=3))
    other = spec(Autoguidance, network=spec(TimeMLP, shape=(2,), features=8))
    for guide, field in ((other, 'guide.network.features'), (None, 'guide')):
        with pytest.raises(UserError, match=rf'config\.sampling\.{field} is'):
            trained(config=config(guide))


def _constructors():
    modules = (genjax.data, genjax.models, genjax.networks)
    found = [getattr(module, name) for module in modules for name in module.__all__]
    return [f for f in found if isinstance(f, type) and getattr(f, 'FREE', ())]


def test_the_same_data_in_memory_or_read_from_files(tmp_path, monkeypatch):
    whole, read = (TFDS('gaussians/ring', in_memory=m).source('test') for m in (True, False))
    assert whole.fingerprint != read.fingerprint
    assert sampled_fingerprint(whole) == sampled_fingerprint(read)
    config = spec(TFDS, name='gaussians/ring')
    now = spec(TFDS, name='gaussians/ring', in_memory=False)
    other = TFDS('gaussians/grid', in_memory=False).source('test')
    begin(tmp_path, claim(tmp_path, config, {}, whole, {}))
    (tmp_path / 'checkpoints' / '1').mkdir(parents=True)
    claim(tmp_path, now, {}, read, {})
    with pytest.raises(UserError, match='the training data are not those'):
        claim(tmp_path, now, {}, other, {})


def scheduled(steps, decay_steps):
    schedule = spec(optax.cosine_decay_schedule, init_value=0.01, decay_steps=decay_steps)
    return tiny.vae(steps=steps, optimizer=spec(optax.adam, learning_rate=schedule))


@pytest.mark.full
def test_a_run_that_is_extended_keeps_its_schedule(workdir, tmp_path, capsys):
    for length in (2, 4):
        steps = FieldReference(length)
        loop.train(scheduled(steps, steps), workdir)
    assert f'the run in {workdir} keeps config.optimizer.learning_rate.decay_steps=2' in (
        capsys.readouterr().out
    )
    loop.train(scheduled(4, 2), tmp_path / 'whole')
    assert_same(runs.load(tmp_path / 'whole').state, runs.load(workdir).state)
    # A schedule that is set does not follow.
    with pytest.raises(UserError, match='decay_steps is 4'):
        loop.train(scheduled(FieldReference(6), 4), workdir)


@pytest.mark.full
def test_a_schedule_is_named_where_there_is_a_number_now(train, refused, workdir):
    schedule = spec(optax.cosine_decay_schedule, init_value=0.01, decay_steps=9)
    config = tiny.vae(steps=1, optimizer=spec(optax.adam, learning_rate=schedule))
    loop.train(config, workdir)
    message = refused(steps=2)
    assert (
        f'config.optimizer.learning_rate is 0.01, but the run in {workdir} was begun with'
        ' optax.cosine_decay_schedule(alpha=0.0, decay_steps=9' in message
    )
    assert f'--branch_from={workdir}' in message


def test_results_that_cannot_be_stored_are_shown(train, genjax, workdir, monkeypatch):
    assert train(steps=1, evals='{"moved": @tests.training.tiny.Moved}')[0] == 0

    def read_only(path, content):
        raise CannotWrite(f'cannot write {path}: Read-only file system')

    monkeypatch.setattr(results, 'write_json', read_only)
    status, out, err = genjax('evaluate', f'--workdir={workdir}')
    assert 'moved/moved' in out
    assert 'the results above could not be stored: cannot write' in the_line(status, err)


def test_a_reader_of_a_run_that_trains_takes_the_next_checkpoint(train, workdir, monkeypatch):
    assert train(steps=3, checkpoint_every=1, keep=2)[0] == 0
    restore = Checkpoints.restore

    def deleted_meanwhile(self, target, step=None):
        if (workdir / 'checkpoints' / '3').exists():
            shutil.rmtree(workdir / 'checkpoints' / '3')
        return restore(self, target, step)

    monkeypatch.setattr(Checkpoints, 'restore', deleted_meanwhile)
    assert runs.load(workdir).step == 2
    with pytest.raises(UserError, match='has no step 3'):
        runs.load(workdir, '3')


def test_a_full_disk_while_data_are_prepared_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise RuntimeError('Failed to finalize writing: write() failed: No space left on device')

    monkeypatch.setattr('tensorflow_datasets.core.DatasetBuilder.download_and_prepare', full)
    with pytest.raises(UserError, match='the disk is full'):
        TFDS('digits', data_dir=str(tmp_path)).source('train')
