"""Warm start: from runs and from files, whole and in part."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from genjax.config import from_json, spec, to_json
from genjax.errors import UserError
from genjax.evaluation import Likelihood
from genjax.parallel import sharding
from genjax.sweeps.folder import Folder
from genjax.training import MeshShape, Start, loop, start
from genjax.training import loading as runs
from genjax.training.experiment import experiment_of
from genjax.training.frozen import path_of
from genjax.training.programs import Programs, example_of
from tests.training import tiny
from tests.training.conftest import arguments, assert_same
from tests.training.processes import said

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """Runs of a VAE and of a GAN, which has model state."""
    folder = tmp_path_factory.mktemp('sources')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        for name in ('vae', 'gan'):
            loop.train(getattr(tiny, name)(steps=2), folder / name)
    return folder


def starting(source, **fields):
    return (spec(Start, path=str(source), **fields),)


def initial(config):
    """The state before the first step."""
    settings = experiment_of(config)
    source = settings.dataset.source('train')
    programs = Programs.of(settings, example_of(source))
    arrays, _ = start.read(settings.start, settings.model, programs.state.variables)
    batch = sharding.place(source[np.arange(settings.rows_per_step)], programs.batch_sharding)
    return programs.init(batch, start.placed(arrays, programs.state.variables))


@pytest.mark.parametrize('family', ['vae', 'gan'])
def test_no_steps_give_the_same_results_bit_for_bit(family, sources, tmp_path):
    config = getattr(tiny, family)(steps=0, start=starting(sources / family))
    loop.train(config, tmp_path / 'run')
    run, source = runs.load(tmp_path / 'run'), runs.load(sources / family)
    assert run.step == 0 and (tmp_path / 'run' / 'samples' / '0.png').exists()
    assert_same(run.variables, source.variables)
    np.testing.assert_array_equal(run.sample(5), source.sample(5))
    if family == 'vae':
        evals = {'nll': Likelihood(num_draws=2)}
        assert run.evaluate(evals) == source.evaluate(evals)
    for average in run.state.ema:
        assert_same(average, source.variables['params'])
    (record,) = json.loads((tmp_path / 'run' / 'config.json').read_text())['start']
    there = json.loads((sources / family / 'config.json').read_text())
    assert record['run']['id'] == there['id'] and record['step'] == 2
    assert len(record['fingerprint']) == 64 and record['path'] == str(sources / family)


def test_it_resumes_bit_for_bit_without_its_source(sources, tmp_path, genjax):
    shutil.copytree(sources / 'vae', tmp_path / 'source')
    changes = {'start': starting(tmp_path / 'source'), 'frozen': ('encoder/.*',)}
    changes |= {'accumulate': 1, 'ema': (0.9,)}
    loop.train(tiny.vae(steps=4, **changes), tmp_path / 'whole')
    loop.train(tiny.vae(steps=2, **changes), tmp_path / 'halves')
    shutil.move(tmp_path / 'source', tmp_path / 'moved')
    loop.train(tiny.vae(steps=3, **changes), tmp_path / 'halves')  # needs no source
    changes['start'] = starting(tmp_path / 'moved')
    loop.train(tiny.vae(steps=4, **changes), tmp_path / 'halves')
    whole = runs.load(tmp_path / 'whole', 'latest')
    assert_same(runs.load(tmp_path / 'halves', 'latest').state, whole.state)
    trained = runs.load(tmp_path / 'moved').variables
    assert_same(whole.variables['params']['encoder'], trained['params']['encoder'])

    loop.train(tiny.vae(steps=1), tmp_path / 'other')
    changes['start'] = starting(tmp_path / 'other')
    with pytest.raises(UserError, match=r'other weights than the run began with, step 2 of'):
        loop.train(tiny.vae(steps=5, **changes), tmp_path / 'halves')
    changes['start'] = starting(tmp_path / 'moved', match='decoder/.*')
    with pytest.raises(UserError, match=r'config\.start\[0\]\.match is .*, but the run in'):
        loop.train(tiny.vae(steps=5, **changes), tmp_path / 'halves')


@pytest.mark.full
def test_a_changed_head_trains_and_the_rest_is_started(sources, tmp_path):
    wider = tiny.vae_model(latent_dim=4)
    with pytest.raises(UserError) as refused:
        loop.train(tiny.vae(model=wider, start=starting(sources / 'vae')), tmp_path / 'run')
    assert str(refused.value) == (
        f'config.start[0]: 3 arrays of step 2 of {sources}/vae do not fit:'
        ' decoder/Dense_0/kernel is float32[4, 16], and float32[3, 16] there;'
        ' encoder/head/bias is float32[8], and float32[6] there;'
        ' encoder/head/kernel is float32[16, 8], and float32[16, 6] there.'
        ' `match` can leave them out'
    )
    assert not (tmp_path / 'run').exists()
    rest = '(?!encoder/head/|decoder/Dense_0/kernel).*'
    config = tiny.vae(model=wider, start=starting(sources / 'vae', match=rest), steps=2)
    trained = runs.load(sources / 'vae').variables['params']
    before = initial(config).variables['params']
    assert_same(before['encoder']['network'], trained['encoder']['network'])
    loop.train(config, tmp_path / 'run')
    after = runs.load(tmp_path / 'run', ema=False).variables['params']
    assert np.any(after['encoder']['head']['kernel'] != before['encoder']['head']['kernel'])


def test_groups_and_paths_are_renamed_and_averages_chosen(sources):
    groups = {
        'generator/Dense_0/bias': 'decoder/Dense_0/bias',
        'generator/output': 'decoder/output',
    }
    config = tiny.gan(start=starting(sources / 'vae', groups=groups, ema=False))
    state = initial(config)
    fresh = initial(tiny.gan()).variables
    raw = runs.load(sources / 'vae', ema=False).variables['params']['decoder']
    started = state.variables['params']['generator']
    assert_same(started['output'], raw['output'])
    assert_same(started['Dense_0']['bias'], raw['Dense_0']['bias'])
    assert_same(started['Dense_0']['kernel'], fresh['params']['generator']['Dense_0']['kernel'])
    assert_same(state.variables['params']['discriminator'], fresh['params']['discriminator'])
    both = starting(sources / 'vae', ema=False), starting(sources / 'vae', match='encoder/.*')
    params = initial(tiny.vae(start=both[0] + both[1])).variables['params']
    assert_same(params['decoder'], raw)
    averaged = runs.load(sources / 'vae').variables['params']
    assert_same(params['encoder'], averaged['encoder'])


def test_files_of_safetensors(sources, tmp_path):
    variables = runs.load(sources / 'gan').variables
    arrays = {path_of(p): np.asarray(a) for p, a in jax.tree.leaves_with_path(variables)}
    save_file(arrays, tmp_path / 'model.safetensors')
    for path in (tmp_path, tmp_path / 'model.safetensors'):
        assert_same(initial(tiny.gan(start=starting(path))).variables, variables)
    bare = {n.partition('/')[2]: a.astype(np.float16) for n, a in arrays.items() if 'params' in n}
    save_file(bare, tmp_path / 'half.safetensors')
    half = starting(tmp_path / 'half.safetensors', match='generator/.*')
    params = initial(tiny.gan(start=half)).variables['params']
    assert_same(params['generator'], variables['params']['generator'], 1e-3)
    assert params['generator']['output']['bias'].dtype == np.float32
    (tmp_path / 'cut.safetensors').write_bytes(b'not safetensors')
    with pytest.raises(UserError, match=r'cannot read .*cut\.safetensors as safetensors: '):
        initial(tiny.gan(start=starting(tmp_path / 'cut.safetensors')))


def test_arrays_are_placed_like_the_parameters(sources, monkeypatch):
    one = initial(tiny.vae(start=starting(sources / 'vae'), accumulate=1))
    monkeypatch.setattr('jax.device_count', lambda: 8)
    rules = (('output/kernel', ('fsdp', None)),)
    mesh = spec(MeshShape, fsdp=4, rules=rules)
    state = initial(tiny.vae(start=starting(sources / 'vae'), mesh=mesh, accumulate=1))
    assert_same(state.variables, one.variables)
    kernel = state.variables['params']['decoder']['output']['kernel']
    assert kernel.sharding.shard_shape(kernel.shape) == (4, 64)


@pytest.mark.full
def test_members_of_a_population_start_too(sources, tmp_path, genjax, monkeypatch):
    devices = jax.devices()[:1]
    monkeypatch.setattr('jax.devices', lambda: devices)
    config = tiny.vae(steps=2, start=starting(sources / 'vae'), accumulate=1, ema=(0.9,))
    (tmp_path / 'config.json').write_text(json.dumps(to_json(config)))
    words = ['sweep', f'--config={tmp_path}/config.json', '--launcher=vectorized']
    words += ['--sweep=product(optimizer.learning_rate=[1e-2,1e-3])', f'--workdir={tmp_path}/runs']
    status, _, err = genjax(*words)
    assert (status, err) == (0, '')
    folder = Folder(tmp_path / 'runs')
    for trial in folder.trials().values():
        loop.train(trial.config, tmp_path / trial.id)
        alone, member = runs.load(tmp_path / trial.id), runs.load(folder.workdir(trial.id))
        assert_same(member.state, alone.state, 1e-4)
        records = [json.loads((r.workdir / 'config.json').read_text()) for r in (alone, member)]
        assert records[0]['start'] == records[1]['start'] != []


@pytest.mark.full
def test_several_processes_start_alike(sources, tmp_path, processes):
    words = ['--config.start=@genjax.training.Start', f'--config.start[0].path={sources}/vae']
    changes = {'steps': 0, 'accumulate': 1, 'mesh__fsdp': 2, 'frozen': '("encoder/.*",)'}
    words = arguments(tmp_path / 'run', *words, **changes)
    children = processes.start_together(2, words, tmp_path / 'log', devices=2)
    assert [processes.wait(c) for c in children] == [0, 0], said(tmp_path / 'log.0')
    assert_same(runs.load(tmp_path / 'run').variables, runs.load(sources / 'vae').variables)


def test_a_config_with_a_start_is_data(sources, tmp_path, genjax):
    config = tiny.vae(start=(Start(str(sources / 'vae'), {'encoder': 'encoder'}),))
    assert from_json(to_json(config)) == config
    words = ['--config.start=@genjax.training.Start', f'--config.start[0].path={sources}/vae']
    words += ['--config.start[0].groups={"encoder": "encoder"}', '--config.start[0].step=2']
    status, _, err = genjax(*arguments(tmp_path / 'run', *words, steps=1))
    assert (status, err) == (0, '')
    (record,) = json.loads((tmp_path / 'run' / 'config.json').read_text())['start']
    assert record['arrays'] == 4


@pytest.mark.parametrize(
    ('fields', 'line'),
    [
        ({'groups': {'encodr': 'encoder'}}, "groups: this model has no 'encodr'; did you mean"),
        ({'groups': {'encoder': 'encodr'}}, r"groups: step 2 of .* has no 'encodr'; did you mean"),
        ({'groups': {'encoder': 'decoder'}}, 'encoder/head/bias: there is no decoder/head/bias;'),
        ({'match': 'encodr/.*'}, r"match='encodr/\.\*' matches no parameter; did you mean"),
        ({'match': '('}, r"match: '\(' is not a regular expression"),
        ({'step': 7}, 'has no step 7'),
        ({'ema': 0.5}, r'ema=0\.5: the averages of this run are 0\.9, 0\.99'),
    ],
)
def test_a_mistake_is_one_line(fields, line, sources, tmp_path):
    config = tiny.vae(start=starting(sources / 'vae', **fields))
    with pytest.raises(UserError, match=rf'config\.start\[0\]: .*{line}'):
        loop.train(config, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r'config\.start\[0\]: .* is neither a run nor a safetensors'
    ):
        loop.train(tiny.vae(start=starting(tmp_path)), tmp_path / 'run')
    with pytest.raises(ValueError, match=r"start: 'runs/a' is not a Start"):
        dataclasses.replace(experiment_of(tiny.vae()), start=('runs/a',))
    with pytest.raises(UserError, match=r'steps must be at least 1, not 0, without a start'):
        experiment_of(tiny.vae(steps=0))
