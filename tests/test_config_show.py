"""Configs as text, and `genjax config`."""

import json

import flax.linen as nn
import optax
import pytest
from ml_collections import FieldReference

from genjax import cli
from genjax import config as configs
from genjax.config import show, spec, to_json
from genjax.data import Binarise, Chain, Digits
from genjax.models import VAE
from genjax.networks import MLP
from genjax.training import Experiment

FILE = 'configs/digits/vae.py'


@pytest.fixture
def config():
    steps = FieldReference(600)
    return spec(
        Experiment,
        dataset=Digits(),
        model=VAE(MLP((8,), activation='tanh'), MLP((8,), shape=(8, 8, 1)), latent_dim=2),
        preprocess=Chain((Binarise(),)),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 0.25, decay_steps=steps)),
        steps=steps,
        batch_size=8,
    )


def test_a_config_prints_as_the_calls_that_make_it(config):
    expected = """Experiment(
    dataset=Digits(),
    model=VAE(
        encoder=MLP(features=(8,), activation='tanh'),
        decoder=MLP(features=(8,), shape=(8, 8, 1)),
        latent_dim=2,
    ),
    optimizer=optax.adam(
        learning_rate=optax.cosine_decay_schedule(init_value=0.25, decay_steps=600),
    ),
    steps=600,
    batch_size=8,
    preprocess=Chain(steps=(Binarise(),)),
"""
    assert repr(config).startswith(expected)
    assert repr(config) == str(config) == repr(configs.from_json(to_json(config)))
    assert repr(configs.with_fields(config, {'steps': 37})) == repr(config).replace('600', '37')
    assert repr(spec(nn.Dense, 3)) == 'nn.Dense(features=3)'


def test_fields_have_types_and_descriptions(config):
    fields = {field.path: field for field in show.fields(config)}
    assert fields['model.latent_dim'][1:3] == ('2', 'int')
    assert fields['batch_size'].description.startswith('examples per update')
    assert fields['model.encoder'].value == 'MLP'
    assert fields['preprocess.steps[0]'].value == 'Binarise'
    assert fields['optimizer.nesterov'].type == 'bool'
    overrides = {p: v for p, v in configs.leaves(config) if not p.endswith('_target_')}
    shown = {path: field.value for path, field in fields.items() if path in overrides}
    assert shown == {path: repr(value) for path, value in overrides.items()}


def test_the_command_prints_what_a_run_would_have(capsys):
    assert cli.main(['config', f'--config={FILE}', '--config.batch_size=7']) == 0
    assert '\nbatch_size = 7  # int: examples per update' in capsys.readouterr().out
    assert cli.main(['config', f'--config={FILE}', '--calls']) == 0
    assert capsys.readouterr().out.startswith('Experiment(\n    dataset=Digits(),\n')


def test_the_command_compares_with_a_run_and_a_file(capsys, tmp_path):
    config = configs.absolute(configs.load(FILE, [('model.beta', '2')]))
    (tmp_path / 'config.json').write_text(json.dumps({'config': to_json(config)}))
    command = ['config', f'--config={FILE}']
    assert cli.main([*command, f'--diff={tmp_path}']) == 0
    assert capsys.readouterr().out == f'model.beta = 1.0  # {tmp_path}: 2.0\n'
    assert cli.main([*command, f'--diff={tmp_path}/config.json', '--config.model.beta=2']) == 0
    assert capsys.readouterr().out == f'no differences from {tmp_path}/config.json\n'
    assert cli.main([*command, '--diff=configs/digits/flow.py']) == 0
    out = capsys.readouterr().out
    assert 'model = VAE  # configs/digits/flow.py: Flow\n' in out and 'model.latent_dim' not in out
