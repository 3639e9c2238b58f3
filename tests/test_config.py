"""Configs: what spec refuses, what build makes, what files hold."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from genjax import config as configs
from genjax.config import build, call, from_json, leaves, load, override, spec, to_json
from genjax.errors import UserError
from genjax.evaluation import Likelihood
from genjax.schedules import Scheduled, at_step
from tests.config_parts import Model, Network, Noise, Positive, double


@pytest.fixture
def config():
    return spec(Model, network=spec(Network, features=4), beta=2)


def test_spec_fills_in_defaults_and_build_gives_them_back(config):
    assert dict(leaves(config))['noise.scale'] is None
    assert isinstance(config.beta, float)
    assert build(config) == Model(Network(features=4), beta=2.0)


def test_any_importable_constructor_will_do():
    optimizer = build(spec(optax.adam, learning_rate=spec(optax.constant_schedule, value=0.5)))
    params = {'w': jnp.ones(3)}
    updates, _ = optimizer.update(params, optimizer.init(params))
    np.testing.assert_allclose(updates['w'], -0.5, rtol=1e-5)


def test_targets_are_public_paths():
    assert spec(optax.adam, learning_rate=1.0)._target_ == 'optax.adam'
    assert spec(nn.Dense, features=1)._target_ == 'flax.linen.Dense'


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'network': 1, 'btea': 1}, "no argument 'btea'; did you mean 'beta'"),
        ({}, "needs the argument 'network'"),
        ({'network': 1, 'beta': 'x'}, "Model.beta: 'x' is not of type float"),
        ({'network': 1, 'beta': None}, 'Model.beta: None is not of type float'),
        ({'network': 1, 'loss': 'hing'}, "did you mean 'hinge'"),
        ({'network': 1, 'sizes': (1, 'x')}, "Model.sizes: 'x' is not of type int"),
        ({'network': 1, 'flag': 1}, 'Model.flag: 1 is not of type bool'),
        ({'network': np.zeros(3)}, 'a config cannot hold'),
        ({'network': lambda x: x}, 'cannot be imported by name'),
    ],
)
def test_spec_refuses_at_file_and_line(fields, message):
    with pytest.raises(UserError) as error:
        spec(Model, **fields)
    assert message in str(error.value)
    assert str(error.value).startswith('tests/test_config.py:') or 'test_config.py:' in str(
        error.value
    )
    assert '\n' not in str(error.value)


def test_functions_are_kept_by_name(config):
    assert config.function.endswith('.double')
    assert build(config).function is double


def test_a_config_survives_json(config):
    text = json.dumps(to_json(config))
    again = from_json(json.loads(text))
    assert to_json(again) == to_json(config)
    assert build(again) == build(config)
    assert configs.fingerprint(again) == configs.fingerprint(config)
    override(again, 'noise.scale', '4')  # still typed
    assert again.noise.scale == 4.0
    assert configs.fingerprint(again) != configs.fingerprint(config)


def test_a_saved_config_of_other_code_is_refused(config):
    data = to_json(config)
    data['forgotten'] = 1
    with pytest.raises(UserError, match="saved config: Model has no argument 'forgotten'"):
        from_json(data)
    data = to_json(config) | {'_target_': 'tests.config_parts.Modle'}
    with pytest.raises(UserError, match="did you mean 'Model'"):
        from_json(data)


def test_a_field_that_nobody_reads_is_refused(config):
    config.noise.extra = 3
    with pytest.raises(UserError, match=r"config\.noise: Noise has no argument 'extra'"):
        build(config)


def test_what_a_constructor_refuses_is_told_with_its_path():
    config = spec(Model, network=(1, spec(Positive, value=-1)))
    with pytest.raises(UserError, match=r'^config.network\[1\]: value must be positive$'):
        build(config)


def test_build_takes_traced_numbers(config):
    """A numeric field may be an array inside `vmap`: one program for a whole population."""
    plain = to_json(config)

    def loss(beta):
        return 3.0 * build({**plain, 'beta': beta}).beta

    np.testing.assert_allclose(jax.vmap(loss)(jnp.arange(4.0)), 3 * np.arange(4.0))


def write(tmp_path, text):
    path = tmp_path / 'config.py'
    path.write_text(text)
    return str(path)


GOOD = """
from genjax.config import spec
from tests.config_parts import Model

def get_config(size='3'):
    return spec(Model, network=None, sizes=(int(size),))
"""


def test_a_part_takes_any_mapping():
    """In Python, whatever was there before."""
    config = load('configs/digits/vae.py')
    for evals in (
        {},
        {'nll': spec(Likelihood, num_draws=2)},
        ConfigDict({'nll': spec(Likelihood)}),
    ):
        config.evals, config.best = evals, None
        built = build(config).evals
        assert {name: e.num_draws for name, e in built.items()} == {
            name: e.num_draws for name, e in evals.items()
        }


def test_load_runs_a_file_and_applies_overrides(tmp_path):
    path = write(tmp_path, GOOD)
    assert build(load(path, [('beta', '4')])).beta == 4.0
    assert build(load(path + ':7')).sizes == (7,)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('import nowhere_at_all\n', "config.py:1: ModuleNotFoundError: No module named 'nowhere"),
        ('x = 1\n', 'config.py has no function get_config()'),
        ('def get_config():\n  return 1 / 0\n', 'config.py:2 in get_config: ZeroDivisionError'),
        ('def get_config(:\n', 'config.py:1: SyntaxError'),
        ('def get_config():\n  return {}\n', 'must return spec(Experiment, ...)'),
        (GOOD.replace('sizes', 'szies'), "config.py:6: Model has no argument 'szies'"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError) as error:
        load(write(tmp_path, text))
    assert message in str(error.value)
    assert '\n' not in str(error.value)


def test_a_missing_file_is_one_line():
    with pytest.raises(UserError, match='there is no config file'):
        load('configs/nothing.py')


def test_scheduled_fields_take_their_value_at_a_step():
    model = Model(
        Network(), noise=Noise(Scheduled(optax.linear_schedule(0.0, 1.0, 10))), sizes=(1, 2)
    )
    assert float(at_step(model, 5).noise.scale) == 0.5
    assert at_step(model, 5).network is model.network
    assert at_step(dataclasses.replace(model, noise=Noise()), 5).sizes is model.sizes


def test_a_schedule_comes_from_a_config():
    beta = spec(
        Scheduled,
        schedule=spec(optax.linear_schedule, init_value=0.0, end_value=4.0, transition_steps=8),
    )
    model = build(spec(Model, network=None, beta=beta))
    assert float(at_step(model, 4).beta) == 2.0


def test_the_argument_of_a_config_file_is_that_of_any_of_its_functions(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text("def sweep(name='none'):\n    return [name]\n")
    assert call(str(file), 'sweep') == ['none']
    assert call(f'{file}:some', 'sweep') == ['some']
