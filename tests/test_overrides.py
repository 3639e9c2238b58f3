"""Overrides of config fields by the command line."""

import ast
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax import config as configs
from genjax.config import build, leaves, override, spec, to_json
from genjax.errors import UserError
from genjax.networks import MLP
from tests.config_parts import Model, Network, Noise, Posterior


@pytest.fixture
def config():
    return spec(Model, network=spec(Network, features=4), beta=2)


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
        ('function', '@tests.config_parts.double', '@tests.config_parts.double'),
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


def test_a_number_replaces_the_schedule_of_an_optimizer_with_unresolvable_annotations():
    schedule = spec(optax.constant_schedule, value=0.5)
    config = spec(optax.adamw, learning_rate=schedule)  # its `mask` names a missing type
    override(config, 'learning_rate', '1e-3')
    assert config.learning_rate == 1e-3


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
    override(config, 'network', text.format('tests.config_parts'))
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
