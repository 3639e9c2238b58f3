"""Plans for eight CPU devices, against the programs of training themselves."""

import dataclasses

import jax
import numpy as np
import pytest

from genjax import cli
from genjax import config as configs
from genjax.config import spec
from genjax.data import Chain, Scale
from genjax.errors import UserError
from genjax.hardware import flops
from genjax.hardware.chips import CHIPS
from genjax.models import DiffusionModel
from genjax.models.diffusion import DiscreteVP, Epsilon
from genjax.networks import DiT
from genjax.planning import programs as planned
from genjax.planning import report, search
from genjax.planning.__main__ import answer
from genjax.planning.plan import refusal_of
from genjax.training.experiment import experiment_of
from genjax.training.layout import bytes_per_device
from genjax.training.programs import Programs, example_of
from tests.tiers import full
from tests.training import tiny


def ask(config, program='train', **fields):
    request = {'config': configs.to_json(config), 'topology': 'cpu-8', 'slices': 1, 'path': []}
    return answer({**request, 'program': program, 'search': False, **fields})


def built(config):
    experiment = experiment_of(config)
    return experiment, Programs.of(experiment, example_of(experiment.dataset.source('train')))


@pytest.mark.parametrize('make', [tiny.vae, full(tiny.gan)], ids=['vae', 'gan'])
def test_it_is_the_step_of_training(make):
    experiment, programs = built(make())
    shapes, missing = planned.example(experiment)
    assert missing is None
    planned_for = Programs.of(experiment, shapes, jax.devices())
    program = planned.program('train', experiment, shapes, planned_for)
    theirs = programs.step.lower(programs.state, programs.batch).as_text()
    assert program.traced.lower().as_text() == theirs


def test_memory_is_what_a_state_takes():
    config = tiny.vae()
    experiment, programs = built(config)
    source = experiment.dataset.source('train')
    rows = {name: source[range(experiment.rows_per_step)][name] for name in programs.batch}
    batch = jax.device_put(rows, programs.batch_sharding)
    state = programs.init(batch)

    def held(tree):  # on the first device
        return sum(
            np.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(tree)
        )

    plan = ask(config)['plan']
    memory = plan['memory']
    assert memory['arguments']['parameters'] == held(state.variables['params'])
    assert memory['arguments']['optimizer'] == held(state.opt_state)
    assert memory['arguments']['averages'] == held(state.ema)
    assert memory['arguments']['batch'] == held(batch)
    assert memory['total'] >= held(state.variables) + held(state.ema)
    assert memory['results'] < bytes_per_device(programs.state)  # the state is written in its place
    assert plan['fits'] is None and plan['bound'] is None  # nothing is known of a CPU


@pytest.mark.full
def test_a_plan_is_of_one_step():
    one, two = (ask(tiny.vae(steps_per_call=n))['plan'] for n in (1, 2))
    assert one['flops']['model'] == two['flops']['model']
    assert one['examples'] == two['examples'] == 16
    sent = [sum(c['bytes'] for c in plan['collectives']) for plan in (one, two)]
    assert sent[0] == pytest.approx(sent[1], rel=0.05)


@pytest.mark.full
def test_layouts_are_those_of_the_config():
    config = tiny.vae()
    configs.override(config, 'mesh.fsdp', 2)
    configs.override(config, 'mesh.rules', (('Dense_0/kernel', ('fsdp',)),))
    plan = ask(config)['plan']
    assert plan['mesh'] == {'data': 4, 'fsdp': 2, 'tensor': 1}
    split = {entry['name']: entry for entry in plan['layout'] if 'fsdp' in entry['axes']}
    assert split and all('Dense_0/kernel' in name for name in split)
    for entry in split.values():
        assert entry['bytes_per_device'] == np.prod(entry['shape']) * 4 // 2


def test_sampling_and_judging():
    digits = configs.load('configs/digits/vae.py')
    drawn = ask(digits, 'sample')['plan']
    assert drawn['examples'] == 16  # a chunk
    experiment = experiment_of(digits)
    variables = jax.eval_shape(
        experiment.model.init, jax.random.key(0), {'x': np.zeros((1, 8, 8, 1), np.float32)}
    )
    expected = flops.flops_of(
        lambda v: experiment.model.sample(v, jax.random.key(0), 16), variables
    )
    assert drawn['flops']['model'] == expected.model
    judged = ask(digits, 'evaluate')['plan']
    assert judged['examples'] == 304  # 300 in shares of eight devices
    assert judged['flops']['model'] > 18 * expected.model  # of 16 examples
    with pytest.raises(UserError, match='has no Likelihood'):
        ask(tiny.gan(), 'evaluate')


@pytest.mark.parametrize(
    ('field', 'value', 'words'),
    [
        ('mesh.fsdp', 3, r'fsdp=3 x tensor=1 does not fit 8 device\(s\)'),
        ('accumulate', 4, 'a micro-batch of 4 examples .* does not divide over 8'),
    ],
)
def test_what_does_not_divide_is_one_line(field, value, words):
    config = tiny.vae()
    configs.override(config, field, value)
    with pytest.raises(UserError, match=words):
        ask(config)


class NoExample:
    """A data set that is not here."""

    @property
    def event_shape(self):
        raise UserError('it is on the other machine')

    num_classes = event_shape

    def source(self, split):
        raise UserError('it is on the other machine')


@pytest.mark.parametrize(
    ('path', 'expected'),
    [
        ('configs/cifar10/ddpm.py', {'x': ((32, 32, 3), 'float32')}),
        ('configs/digits/gan.py', {'x': ((8, 8, 1), 'float32'), 'label': ((), 'int32')}),
        ('configs/shakespeare/gpt.py', {'x': ((256,), 'int32')}),
        (
            'configs/imagenet128/sagan.py',
            {'x': ((128, 128, 3), 'float32'), 'label': ((), 'int32')},
        ),
    ],
)
def test_where_the_data_are_not_the_model_says_what_it_expects(path, expected):
    config = configs.load(path)
    with config.unlocked(), config.ignore_type():
        config.dataset = configs.spec(NoExample)
    shapes, missing = planned.example(experiment_of(config))
    assert shapes == expected
    assert missing == 'it is on the other machine'


def test_refusals_of_the_compiler():
    said = refusal_of(
        'RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO'
        ' temporaries (274.79G) exceeds available HBM (15.75G).'
    )
    assert said.words == '274.79 GiB of 15.75 GiB'
    assert said.needed == 274.79 * 2**30
    said = refusal_of('Ran out of memory in memory space hbm. Used 512.5M of 16.00G hbm.\nMore')
    assert (said.needed, said.available) == (512.5 * 2**20, 16 * 2**30)
    assert refusal_of('RESOURCE_EXHAUSTED: no more\nlines').words == 'RESOURCE_EXHAUSTED: no more'
    assert refusal_of('INTERNAL: a defect') is None


def test_the_largest_micro_batch_is_found_by_bisection():
    config, tried = tiny.vae(batch_size=64, accumulate=1), []

    class Fits:
        def __init__(self, accumulate):
            tried.append(accumulate)
            self.fits = 64 // accumulate <= 12

    found = search.largest_micro_batch(config, 4, lambda c: Fits(c.accumulate))
    assert found.fields == {'accumulate': 8}
    assert len(tried) <= 3
    assert search.largest_micro_batch(config, 16, lambda c: Fits(c.accumulate)) is None


def test_samples_of_codes_whose_first_stage_is_not_here():
    config = configs.load('configs/imagenet256/dit_xl2.py')
    for name, value in {'features': 32, 'num_layers': 1, 'num_heads': 2}.items():
        configs.override(config, f'model.network.{name}', value)
    plan = ask(config, 'sample')['plan']
    (note,) = plan['notes']
    assert (
        'the way back to the data (first stage: runs/imagenet256_autoencoder is not the folder'
        in note
    )
    assert plan['flops']['model'] > 0


def test_what_fits_best_is_words_for_training(monkeypatch, capsys):
    choice = {'fields': {'mesh.data': 2, 'mesh.fsdp': 4, 'model.remat': 'dots', 'accumulate': 8}}

    def planned(config, where, program, search, quick):
        assert search
        return {'search': [choice, {'fields': {}}] if config.steps > 1 else []}

    monkeypatch.setattr('genjax.planning.run.run', planned)
    words = ['plan', '--config=configs/digits/vae.py', '--topology=v5e:2x4', '--fit']
    assert cli.main(words) == 0
    assert capsys.readouterr().out == (
        '--config.mesh.data=2 --config.mesh.fsdp=4 --config.model.remat=dots'
        ' --config.accumulate=8\n'
    )
    assert cli.main([*words, '--config.steps=1']) == 2
    assert 'nothing fits on v5e:2x4' in capsys.readouterr().err


def test_gpus_have_the_layout_of_as_many_cpus_and_their_own_rates(monkeypatch):
    """Two servers of four: the gradient is reduced in each and between them."""
    config = tiny.vae(accumulate=1)
    plain, made = (ask(config, topology=name)['plan'] for name in ('cpu-8', 'h100:4x2'))
    assert made['memory']['arguments'] == plain['memory']['arguments']
    assert made['flops'] == plain['flops'] and made['layout'] == plain['layout']
    assert made['device_kind'] == 'NVIDIA H100' and made['estimated'] and not plain['estimated']
    assert made['fits'] is True
    sent = {c['kind']: c['bytes'] for c in made['collectives']}
    (whole,) = (c['bytes'] for c in plain['collectives'] if c['kind'] == 'all-reduce')
    assert sent['all-reduce'] + sent['dcn all-reduce'] == pytest.approx(whole, rel=1e-3)
    assert sent['dcn all-reduce'] == pytest.approx(whole / 7, rel=1e-3)
    bound = made['bound']
    within = sum(size for kind, size in sent.items() if not kind.startswith('dcn'))
    assert bound['interconnect'] == pytest.approx(within / 450e9)
    assert bound['network'] == pytest.approx(sent['dcn all-reduce'] / 50e9)
    assert bound['compute'] == pytest.approx(made['flops']['hardware'] / 8 / 989.5e12)
    assert 'temporaries' in '\n'.join(report.lines(ask(config, topology='h100:4x2')))

    small = dataclasses.replace(CHIPS['h100'], memory=1000)
    monkeypatch.setitem(CHIPS, 'h100', small)
    answer = ask(config, topology='h100:4x2')
    assert answer['plan']['fits'] is False
    assert answer['plan']['refusal']['available'] == 1000
    config.mesh.fsdp = 8
    with pytest.raises(UserError, match='data=1 does not divide over 2 servers'):
        ask(config, topology='h100:4x2')


@pytest.mark.full
def test_chunks_stand_for_the_attention_of_cudnn():
    network = spec(DiT, shape=(8, 8, 1), patch=4, features=8, num_layers=1, num_heads=1)
    model = spec(DiffusionModel, network, spec(DiscreteVP), spec(Epsilon))
    preprocess = spec(Chain, steps=(spec(Scale, low=-1.0),))
    for dtype, kind, want in (
        ('bfloat16', 'auto', 'chunked (as configured)'),
        ('bfloat16', 'cudnn', 'chunked (as configured)'),
        ('float32', 'auto', 'plain (4 keys; not cuDNN: on a CPU)'),
    ):
        network.dtype, network.attention = dtype, kind
        config = tiny.vae(model=model, preprocess=preprocess, accumulate=1)
        assert ask(config, topology='h100:8')['plan']['attention'] == (want,)
