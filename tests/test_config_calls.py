"""Config files that read as the program: plain calls inside one `spec`, and fields that follow."""

import typing
from dataclasses import dataclass

import flax.linen as nn
import optax
import pytest
from ml_collections import ConfigDict, FieldReference

from genjax import config as configs
from genjax.config import fingerprint, load, override, spec, to_json, with_fields
from genjax.data import Binarise, Chain, Digits
from genjax.errors import UserError
from genjax.models import VAE
from genjax.networks import MLP
from genjax.schedules import Scheduled, staircase
from genjax.sweeps import product
from genjax.sweeps.trials import trials_of
from genjax.training import Experiment

HEAD = """
import optax
from genjax.config import spec
from genjax.data import Digits
from genjax.models import VAE
from genjax.networks import MLP
from genjax.training import Experiment

def get_config():
"""


class Layer(nn.Module):
    features: int
    kernel_init: typing.Callable = nn.initializers.lecun_normal()  # a closure, no data


@dataclass(frozen=True)
class Keeps:
    """Does not keep its argument."""

    value: typing.Any = None
    scale: float = 1.0


def experiment(**fields):
    """Schedules of a learning rate and of beta that end with the run."""
    steps = FieldReference(900)
    beta = Scheduled(spec(staircase, (0.0, 0.1), (steps // 3, steps - steps // 3)))
    rate = spec(optax.cosine_decay_schedule, 1e-3, decay_steps=steps)
    return spec(
        Experiment,
        dataset=Digits(),
        model=VAE(MLP((8,)), MLP((8,), shape=(8, 8, 1)), latent_dim=2, beta=beta),
        optimizer=spec(optax.adam, rate),
        **{'steps': steps, 'batch_size': 8, 'sample_every': steps, **fields},
    )


def followers(config):
    return [
        config.steps,
        config.sample_every,
        config.optimizer.learning_rate.decay_steps,
        sum(config.model.beta.schedule.lengths),
    ]


def test_plain_calls_are_the_same_config_as_nested_specs():
    calls = spec(Keeps, (Chain((Binarise(),)), MLP((8,), activation='tanh')), scale=2)
    specs = spec(
        Keeps,
        value=(spec(Chain, steps=(spec(Binarise),)), spec(MLP, features=(8,), activation='tanh')),
        scale=2.0,
    )
    assert type(calls) is type(specs) and isinstance(calls, ConfigDict)
    assert fingerprint(calls) == fingerprint(specs)
    assert configs.build(calls) == Keeps((Chain((Binarise(),)), MLP((8,), activation='tanh')), 2.0)


def test_a_default_that_is_no_data_stays_the_constructors_own_in_a_call_too():
    assert fingerprint(spec(Keeps, Layer(3))) == fingerprint(spec(Keeps, spec(Layer, 3)))


def test_a_type_is_checked_inside_of_a_call_and_a_whole_number_becomes_a_float():
    assert isinstance(spec(Keeps, Keeps(scale=2)).value.scale, float)
    with pytest.raises(UserError, match=r"Keeps.value: Keeps.scale: 'x' is not of type float"):
        spec(Keeps, Keeps(scale='x'))


@pytest.mark.parametrize(
    ('text', 'line', 'message'),
    [
        ('VAE(\n encdr=1)', 1, "VAE has no argument 'encdr'; did you mean 'encoder'"),
        ('VAE(\n MLP(featurs=(8,)))', 2, "MLP has no argument 'featurs'; did you mean 'features'"),
        ("MLP(\n (8,),\n dropout='x')", 3, "MLP.dropout: 'x' is not of type float"),
        ('VAE(None,\n None, 2)', 1, 'the decoder NoneType needs a field shape'),
        ("VAE(\n None, MLP(\n (8,), 'x'), 2)", 3, "MLP.shape: 'x' is not of type tuple"),
        ("spec(VAE,\n None, spec(MLP,\n (8,), ('x',)), 2)", 3, "MLP.shape: 'x' is not of type int"),
        ('spec(VAE, None,\n None, latent_dim=2, num_sampels=1)', 1, "did you mean 'num_samples'"),
        ('(VAE, MLP((8,)),\n object())', 2, 'a config cannot hold <object'),
    ],
)
def test_a_mistake_in_a_call_has_its_own_line(tmp_path, text, line, message):
    file = tmp_path / 'config.py'
    file.write_text(
        f'{HEAD} return spec(Experiment, model={text},'
        ' dataset=Digits(), optimizer=None, steps=1, batch_size=1)\n'
    )
    with pytest.raises(UserError) as error:
        load(str(file))
    assert message in str(error.value) and '\n' not in str(error.value)
    assert f'config.py:{HEAD.count(chr(10)) + line}' in str(error.value)


def test_arguments_by_position_are_told_apart():
    with pytest.raises(UserError, match="has two values for 'value'"):
        spec(Keeps, 1, value=2)
    with pytest.raises(UserError, match='takes 2 arguments by position, not 3'):
        spec(Keeps, 1, 2, 3)


def test_fields_follow_the_steps():
    config = experiment()
    override(config, 'steps', '37')
    assert followers(config) == [37] * 4
    config.steps = 12
    assert followers(config) == [12] * 4
    assert configs.from_json(to_json(config)) == config


def test_setting_a_field_that_follows_leaves_the_steps_alone():
    config = experiment()
    override(config, 'sample_every', '50')
    override(config, 'optimizer.learning_rate.decay_steps', '60')
    assert followers(config) == [900, 50, 60, 900]
    override(config, 'steps', '30')
    assert followers(config) == [30, 50, 60, 30]


def test_fields_follow_in_the_trials_of_a_sweep_each_its_own():
    base = experiment()
    trials = trials_of(base, product({'steps': [30, 60]}))
    assert [followers(trial.config) for trial in trials] == [[30] * 4, [60] * 4]
    assert followers(base) == [900] * 4
    with_fields(base, {'steps': 30})
    assert followers(base) == [900] * 4


def test_a_part_that_is_used_twice_in_a_file_is_two_parts_of_the_config(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text(
        HEAD + ' from tests.test_config_calls import Keeps\n adam = spec(optax.adam, 1e-3)\n'
        ' return spec(Keeps, {"a": adam, "b": adam})\n'
    )
    config = load(str(file), [('value.a.learning_rate', '1')])
    assert (config.value.a.learning_rate, config.value.b.learning_rate) == (1.0, 1e-3)


def test_the_argument_of_a_file_has_a_type(tmp_path):
    file = tmp_path / 'config.py'
    head = HEAD.replace('get_config()', "get_config(size: Literal['small', 'full'] = 'full')")
    file.write_text(f'from typing import Literal\n{head} return spec(MLP, ({{"small": 1}}[size],))')
    assert load(f'{file}:small').features == (1,)
    with pytest.raises(UserError, match=r"config.py:smal: size: .*did you mean 'small'"):
        load(f'{file}:smal')
    file.write_text(f'{HEAD} return spec(MLP, (1,))')
    with pytest.raises(UserError, match=r'get_config\(\) takes no argument'):
        load(f'{file}:small')
