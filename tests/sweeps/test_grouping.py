"""Which trials become one program."""

import pytest

from genjax import config as configs
from genjax.sweeps.combinators import parse
from genjax.sweeps.trials import trials_of
from genjax.sweeps.vectorized.grouping import populations_of, summary
from genjax.training.experiment import experiment_of
from genjax.training.programs import example_of
from tests.tiers import full

pytestmark = pytest.mark.slow

CONFIG = 'tests/sweeps/config.py'


def grouped(family, words):
    """The lines that tell of the programs, and their sizes."""
    trials = trials_of(configs.load(f'{CONFIG}:{family}'), parse(words))
    source = experiment_of(trials[0].config).dataset.source('train')
    populations = populations_of(trials, lambda _: example_of(source), len(trials))
    assert {t.id for p in populations for t in p.trials} == {t.id for t in trials}
    return summary(populations), [len(population.trials) for population in populations]


@pytest.mark.parametrize(
    ('family', 'fields'),
    [
        (
            'vae',
            {
                'seed': '[0,1]',
                'optimizer.learning_rate': '[1e-3,1e-2]',
                'optimizer.b2': '[.9,.99]',
                'model.beta': '[.5,2]',
                'ema': '[(.9,),(.8,)]',
                'clip_norm': '[.1,1]',
            },
        ),
        ('vae', {'model.beta': '[0,2]'}),  # zero changes neither the state nor the metrics
        ('gan', {'model.r1': '[.1,1]', 'model.gradient_penalty': '[1,10]'}),
    ],
)
def test_numbers_that_enter_arithmetic_share_a_program(family, fields):
    words = ', '.join(f'{field}={values}' for field, values in fields.items())
    lines, sizes = grouped(family, f'zip({words})')
    assert sizes == [2]
    traced = lines[1].removeprefix('program 1: 2 trials; traced: ').split(', ')
    assert sorted(traced) == sorted(fields)


@pytest.mark.parametrize(
    ('family', 'field', 'values'),
    [
        ('vae', 'model.latent_dim', '[2,3]'),  # a shape
        full('vae', 'model.num_samples', '[1,2]'),
        full('vae', 'model.encoder.features', '[(16,),(8,)]'),
        full('vae', 'model.encoder.dropout', '[.1,.3]'),  # Flax looks whether it is zero
        full('vae', 'model.eval_samples', '[2,4]'),  # checked when the model is made
        full('vae', 'model.encoder.activation', "['relu','silu']"),
        full('vae', 'ema', '[(.9,),(.9,.99)]'),  # how many there are
        ('vae', 'clip_norm', '[None,1]'),  # no number
        full('vae', 'batch_size', '[8,16]'),  # read by the loop
        ('vae', 'steps', '[12,24]'),
        full('vae', 'dataset.variant', '[0,1]'),
        full('gan', 'model.num_critic', '[1,2]'),
        full('gan', 'model.loss', "['hinge','wasserstein']"),
        ('gan', 'model.lecam', '[0,1]'),  # and with it a part of the state
    ],
)
def test_what_decides_shapes_or_control_flow_splits(family, field, values):
    lines, sizes = grouped(family, f'product({field}={values}, seed=[0,1])')
    assert sizes == [2, 2]
    assert lines[0] == '4 trials in 2 program(s)'
    assert all(f'2 trials, {field}=' in line and line.endswith('seed') for line in lines[1:])


@pytest.mark.parametrize(
    ('family', 'field', 'off'),
    # Zero switches the penalty off.
    [full('gan', 'model.r1', '0.0'), ('vae', 'clip_norm', 'None')],
)
def test_what_is_switched_off_is_a_program_and_the_rest_another(family, field, off):
    lines, sizes = grouped(family, f'product({field}=[{off},.1,1], seed=[0,1])')
    assert sizes == [2, 4]
    assert lines[1:] == [
        f'program 1: 2 trials, {field}={off}; traced: seed',
        f'program 2: 4 trials; traced: {field}, seed',
    ]
