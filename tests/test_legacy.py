"""Configs that older code wrote: in run folders, in sweeps, in JSON files."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from genjax import config as configs
from genjax.config import from_json, legacy, spec, to_json
from genjax.errors import UserError
from genjax.sweeps.folder import Folder
from genjax.sweeps.trials import trials_of
from genjax.training import workdir
from genjax.training.experiment import Experiment
from tests.training import tiny

OLD = json.loads((Path(__file__).parent / 'fixtures' / 'configs_bb81eb8.json').read_text())


@dataclass(frozen=True)
class Sampling:
    steps: int = 10


@dataclass(frozen=True)
class Model:
    """A model whose `steps` moved into `sampling`."""

    inner: object = None
    sampling: Sampling = Sampling()

    @staticmethod
    def upgrade(fields):
        if 'steps' in fields:
            steps = fields.pop('steps')
            fields['sampling'] = to_json(spec(Sampling, steps=steps))
        return fields


def double(x):
    return 2 * x


@pytest.fixture
def moved(monkeypatch):
    """As if `Net`, today's `Model`, and `twice`, today's `double`, had been here."""
    names = {f'{__name__}.Net': f'{__name__}.Model', f'{__name__}.twice': f'{__name__}.double'}
    monkeypatch.setattr(legacy, 'RENAMED', names)
    configs.trust.name(spec(Model, inner=double))


def test_old_names_and_fields_are_read_as_those_of_today_innermost_first(moved):
    inner = {'_target_': f'{__name__}.Net', 'inner': f'@{__name__}.twice', 'steps': 3}
    old = {'_target_': f'{__name__}.Net', 'inner': [inner], 'steps': 4}
    assert configs.build(from_json(old)) == Model((Model(double, Sampling(3)),), Sampling(4))


def test_a_config_of_today_passes_through_an_upgrade(moved):
    config = spec(Model, sampling=Sampling(5))
    assert from_json(to_json(config)) == config


def test_an_upgrade_of_damaged_fields_is_one_line(moved, monkeypatch):
    monkeypatch.setattr(Model, 'upgrade', staticmethod(lambda fields: fields['lost']))
    with pytest.raises(UserError, match=r"config.inner: .*Model cannot read .*'lost'"):
        from_json({'_target_': f'{__name__}.Model', 'inner': {'_target_': f'{__name__}.Net'}})


def test_a_rename_cannot_lead_around_trust(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    for memory in ('_given', '_own'):  # of other tests
        monkeypatch.setattr(configs.trust, memory, {})
    monkeypatch.setattr(configs.trust, '_named', set())
    monkeypatch.setattr(legacy, 'RENAMED', {'genjax.models.Old': 'os.system'})
    with pytest.raises(UserError, match=r'config names os\.system'):
        from_json({'_target_': 'genjax.models.Old', 'command': 'true'})


def test_all_that_moved_is_there_for_configs_of_any_author(monkeypatch):
    monkeypatch.setattr(configs.trust, '_named', set())
    monkeypatch.setattr(configs.trust, '_own', {})
    for old, new in legacy.RENAMED.items():
        assert new not in legacy.RENAMED, f'{old} is two renames away'
        configs.trust.import_path(new)


@pytest.mark.parametrize('file', OLD)
def test_a_config_of_older_code_builds(file, monkeypatch):
    monkeypatch.setattr(configs.trust, '_named', set())
    monkeypatch.setattr(configs.trust, '_own', {})
    config = from_json(OLD[file])
    if '.Encode"' in json.dumps(OLD[file]):
        with pytest.raises(UserError, match=r'first stage: .* is not the folder of a run'):
            configs.build(config)
    else:
        assert isinstance(configs.build(config), Experiment)


def _old(monkeypatch, config):
    """The config as older code wrote it, whose optimizer was called `lab.sgd`."""
    data = to_json(config)
    monkeypatch.setattr(legacy, 'RENAMED', {'lab.sgd': data['optimizer']['_target_']})
    data['optimizer']['_target_'] = 'lab.sgd'
    return data


def test_a_run_without_a_checkpoint_keeps_its_id_under_newer_code(monkeypatch):
    config = tiny.vae()
    record = {'config': _old(monkeypatch, configs.absolute(config)), 'fingerprint': 'of then'}
    assert workdir._describes(record, config)
    assert not workdir._describes(record, tiny.vae(batch_size=8))


def test_a_trial_keeps_its_id_under_newer_code(tmp_path, monkeypatch):
    folder = Folder(tmp_path / 'sweep')
    (first,) = trials_of(tiny.vae(), [{'seed': 1}])
    folder.add('config.py', [first])
    name = 'ab12'  # the id by the fingerprint of then
    record = json.loads((folder.path / 'sweep.json').read_text())
    record['trials'][0]['id'] = name
    (folder.path / 'sweep.json').write_text(json.dumps(record))
    data = {'config': _old(monkeypatch, first.config), 'source': None}
    folder.config(name).write_text(json.dumps(data))
    now = folder.known(trials_of(tiny.vae(), [{'seed': 1}, {'seed': 2}]))
    assert [trial.id == name for trial in now] == [True, False]
    assert now[0].config == first.config
