"""Compiled programs of a run."""

import jax
import numpy as np
import pytest

from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs, example_of
from genjax.training.state import init_state
from tests.training import tiny


def programs_of(seed):
    experiment = experiment_of(tiny.vae(seed=seed))
    source = experiment.dataset.source('train')
    rows = source[np.arange(experiment.rows_per_step)]
    programs = Programs.of(experiment, example_of(source), jax.devices()[:1])
    return experiment, programs, {name: rows[name] for name in programs.batch}


def test_runs_that_differ_in_the_seed_share_their_programs():
    texts = []
    for seed in (0, 1):
        _, programs, batch = programs_of(seed)
        init_program, *_ = programs.init.args
        init = init_program.lower(np.uint32(seed), batch)
        step = programs.step.lower(programs.state, programs.batch)
        texts.append((init.as_text(), step.as_text()))
    assert texts[0] == texts[1]


@pytest.mark.parametrize('seed', [3, 2**32 - 1])
def test_the_first_state_is_that_of_the_seed(seed):
    experiment, programs, batch = programs_of(seed)
    key = jax.random.key_data(jax.jit(lambda b: init_state(experiment, b).key)(batch))
    np.testing.assert_array_equal(jax.random.key_data(programs.init(batch).key), key)
