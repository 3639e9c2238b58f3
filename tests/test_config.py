"""Configs: what spec refuses, what build makes, what the command line can set."""

import ast
import dataclasses
import json
import re
import typing
from dataclasses import dataclass, field

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
from genjax.networks import MLP
from genjax.schedules import Scheduled, at_step


def double(x):
    return 2 * x


@dataclass(frozen=True)
class Noise:
    scale: float | None = None


@dataclass(frozen=True)
class Posterior:
    noise: Noise | None = None


@dataclass(frozen=True)
class Model:
    network: object
    noise: Noise = field(default_factory=Noise)
    beta: float = 1.0
    sizes: tuple[int, ...] = (2, 3)
    loss: typing.Literal['hinge', 'wasserstein'] = 'hinge'
    name: str = 'x'
    function: typing.Callable = double
    flag: bool = False
    count: int | None = None


@dataclass(frozen=True)
class Positive:
    value: int

    def __post_init__(self):
        if self.value < 1:
            raise ValueError('value must be positive')


class Network(nn.Module):
    features: int = 3
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(x)


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


@pytest.mark.parametrize(
    ('path', 'text', 'value'),
    [
        ('beta', '3', 3.0),
        ('beta', '1e-3', 1e-3),
        ('noise.scale', '.5', 0.5),
        ('noise.scale', '2', 2.0),
        ('sizes', '4', (4,)),
        ('sizes', '4,5', (4, 5)),
        ('sizes', '(4, 5)', (4, 5)),
        ('sizes', '[4]', (4,)),
        ('sizes', '()', ()),
        ('loss', 'wasserstein', 'wasserstein'),
        ('name', '5', '5'),
        ('flag', 'true', True),
        ('flag', 'False', False),
        ('count', '1e3', 1000),
        ('network.features', '7', 7),
        ('function', '@tests.test_config.double', '@tests.test_config.double'),
    ],
)
def test_every_field_can_be_set_from_text(config, path, text, value):
    override(config, path, text)
    result = dict(leaves(config))[path]
    assert result == value
    assert type(result) is type(value)


def test_a_none_able_field_goes_to_a_value_and_back(config):
    for text, value in (('2', 2.0), ('None', None), ('3', 3.0)):
        override(config, 'noise.scale', text)
        assert config.noise.scale == value


def test_a_number_or_none_replaces_a_spec_where_the_constructor_takes_one():
    schedule = spec(optax.linear_schedule, init_value=1e-3, end_value=0.0, transition_steps=10)
    config = spec(optax.adam, learning_rate=schedule)
    override(config, 'learning_rate', '1e-4')
    assert config.learning_rate == 1e-4
    params = jnp.ones(2)
    update, _ = build(config).update(params, build(config).init(params), params)
    np.testing.assert_allclose(update, -1e-4, rtol=1e-3)
    with pytest.raises(
        UserError, match="learning_rate: 'low' is not of type float or Array or Callable"
    ):
        override(spec(optax.adam, learning_rate=schedule), 'learning_rate', 'low')
    model = spec(Posterior, noise=spec(Noise, scale=2.0))
    override(model, 'noise', 'None')
    assert build(model).noise is None


@pytest.mark.parametrize(
    ('path', 'text', 'message'),
    [
        ('beta', 'x', "config.beta: 'x' is not of type float"),
        ('bta', '1', "no field 'bta'; did you mean 'beta'"),
        ('noise.scal', '1', "did you mean 'noise.scale'"),
        ('noise', '1', 'config.noise is made of fields'),
        ('sizes', 'x', 'is not of type int'),
        ('sizes[0]', '4', 'set the whole tuple, config.sizes'),
        ('count', '1.5', 'config.count: 1.5 is not of type int or None'),
        ('loss', 'l2', 'is not one of'),
        ('beta.x', '1', "no field 'beta.x'"),
    ],
)
def test_a_wrong_override_is_one_line(config, path, text, message):
    before = to_json(config)
    with pytest.raises(UserError) as error:
        override(config, path, text)
    assert message in str(error.value)
    assert to_json(config) == before


def test_specs_inside_tuples_can_be_set():
    config = spec(Model, network=(spec(Noise), spec(Noise, scale=1.0)))
    override(config, 'network[1].scale', '3')
    assert build(config).network == (Noise(), Noise(3.0))


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
    data = to_json(config) | {'_target_': 'tests.test_config.Modle'}
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
from tests.test_config import Model

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


def test_a_number_replaces_the_schedule_of_an_optimizer_with_unresolvable_annotations():
    schedule = spec(optax.constant_schedule, value=0.5)
    config = spec(optax.adamw, learning_rate=schedule)  # its `mask` names a missing type
    override(config, 'learning_rate', '1e-3')
    assert config.learning_rate == 1e-3


def test_the_argument_of_a_config_file_is_that_of_any_of_its_functions(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text("def sweep(name='none'):\n    return [name]\n")
    assert call(str(file), 'sweep') == ['none']
    assert call(f'{file}:some', 'sweep') == ['some']


def test_a_reference_is_a_call_with_its_defaults_and_what_it_needs_is_set_by_further_overrides():
    config = spec(Model, network=spec(optax.adam, learning_rate=1e-3))
    override(config, 'network', '@optax.sgd')
    with pytest.raises(UserError, match=r'config\.network: optax\.sgd needs learning_rate: --'):
        configs.check_complete(config)
    override(config, 'network.learning_rate', '@optax.cosine_decay_schedule')
    with pytest.raises(UserError, match='needs decay_steps, init_value'):
        configs.check_complete(config)
    override(config, 'network.learning_rate', '0.5')
    configs.check_complete(config)
    network = build(config).network
    assert network.update(jnp.ones(1), network.init(jnp.ones(1)))[0] == -0.5


@pytest.mark.parametrize('text', ['(@{0}.Noise, @{0}.Posterior)', '[@{0}.Noise,@{0}.Posterior]'])
def test_references_stand_in_tuples(text):
    config = spec(Model, network=None)
    override(config, 'network', text.format('tests.test_config'))
    override(config, 'network[0].scale', '2')
    assert build(config).network == (Noise(2.0), Posterior())


def test_a_field_that_takes_a_function_keeps_it_and_one_that_makes_a_function_is_called(config):
    override(config, 'function', '@jax.nn.relu')
    assert build(config).function is jax.nn.relu
    override(config, 'function', '@optax.constant_schedule')
    override(config, 'function.value', '3')
    assert build(config).function(0) == 3


def test_references_and_specs_in_sweeps(config):
    config = spec(Model, network=spec(optax.sgd, learning_rate=1e-3))
    fields = {'network': '@optax.adam', 'network.learning_rate': 1.0, 'function': jax.nn.relu}
    changed = configs.with_fields(config, fields)
    assert (changed.network._target_, changed.network.learning_rate) == ('optax.adam', 1.0)
    assert build(changed).function is jax.nn.relu
    changed = configs.with_fields(config, {'network': spec(optax.adam, learning_rate=2.0)})
    assert (changed.network._target_, changed.network.learning_rate) == ('optax.adam', 2.0)
    with pytest.raises(UserError, match=r'optax\.adam needs learning_rate'):
        configs.with_fields(config, {'network': '@optax.adam'})


@pytest.mark.parametrize(
    ('constructor', 'name', 'text', 'message'),
    [
        (MLP, 'features', '0', 'must be at least 1, not 0'),
        (MLP, 'features', '(3, -1)', 'must be at least 1, not -1'),
        (MLP, 'dropout', '2', 'must be at least 0 and less than 1, not 2'),
        (MLP, 'dtype', 'bfloat32', "'bfloat32' is not one of float32, bfloat16, float16"),
        (MLP, 'dtype', 'float64', "'float64' is not one of"),
        (optax.adam, 'learning_rate', '-1', 'must be at least 0, not -1'),
        (optax.adam, 'learning_rate', '1e999', 'must be at least 0, not inf'),
        (optax.adam, 'b1', '1', 'must be at least 0 and less than 1, not 1'),
    ],
)
def test_numbers_out_of_range_are_refused_where_they_are_written(constructor, name, text, message):
    needed = {'features': (3,)} if constructor is MLP else {'learning_rate': 1e-3}
    config = spec(Model, network=spec(constructor, **needed))
    with pytest.raises(UserError, match=rf'^config\.network\.{name}: {re.escape(message)}'):
        override(config, f'network.{name}', text)
    with config.network.ignore_type():
        config.network[name] = ast.literal_eval(text) if text[0] in '(-0123' else text
    with pytest.raises(UserError, match=rf'^config\.network\.{name}: {re.escape(message)}'):
        build(config)


def test_other_packages_have_words_of_their_own():
    assert build(spec(Network, features=0)).features == 0


def test_words_for_none_and_short_names_of_dtypes():
    config = spec(Model, network=spec(MLP, features=(2,)))
    for text in ('none', 'None', 'NONE'):
        override(config, 'count', '3')
        override(config, 'count', text)
        assert config.count is None
    override(config, 'name', 'none')
    assert config.name == 'none'  # a name cannot be None
    override(config, 'network.norm', 'none')
    override(config, 'network.dtype', 'bf16')
    assert (config.network.norm, config.network.dtype) == ('none', 'bfloat16')
