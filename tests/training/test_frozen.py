"""Frozen parameters stay bit-equal, and have no gradient, optimizer state or average."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

from genjax.config import spec
from genjax.errors import UserError
from genjax.hardware.flops import flops_of
from genjax.parallel import sharding
from genjax.training import MeshShape, loop
from genjax.training import loading as runs
from genjax.training.experiment import experiment_of
from genjax.training.frozen import frozen_groups, merged, path_of, trained
from genjax.training.programs import Programs, example_of
from genjax.training.state import init_state
from genjax.training.step import train_step
from tests.training import tiny
from tests.training.conftest import assert_same

pytestmark = pytest.mark.slow

PATTERNS = ('discriminator/.*', 'generator/.*bias')
DECAYING = {
    name: spec(optax.adamw, learning_rate=1e-2, weight_decay=0.5)
    for name in ('discriminator', 'generator')
}


def gan(**fields):
    """Two phases, accumulation, averages, model state, and weight decay that moves everything."""
    return tiny.gan(**{'optimizer': DECAYING, 'frozen': PATTERNS, 'steps': 4, **fields})


def leaves(tree):
    return {path_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def split(tree):
    """The leaves that PATTERNS match, and the others."""
    found = leaves(tree)
    frozen = {n: a for n, a in found.items() if 'discriminator' in n or n.endswith('bias')}
    return frozen, {n: a for n, a in found.items() if n not in frozen}


@pytest.mark.slow
def test_frozen_parameters_stay_and_the_others_train_and_resume(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)
    for steps in (2, 4):
        loop.train(gan(steps=steps), tmp_path / 'halves')
    loop.train(gan(), tmp_path / 'whole')
    run = runs.load(tmp_path / 'halves', 'latest')
    assert_same(run.state, runs.load(tmp_path / 'whole', 'latest').state)

    settings = experiment_of(gan())
    batch = {'x': np.zeros((32, *tiny.SHAPE), np.uint8)}
    first = jax.jit(functools.partial(init_state, settings))(batch)
    (before, moving), (after, moved) = (split(s.variables['params']) for s in (first, run.state))
    assert before and moving
    assert_same(after, before)
    assert all(np.any(moved[name] != moving[name]) for name in moving)
    # The discriminator's spectral norms belong to its kernels, and stay with them.
    assert_same(run.state.variables['state'], first.variables['state'])
    assert_same(run.state.ema_state, first.ema_state)

    for tree in (run.state.opt_state, run.state.ema):
        assert not split(tree)[0].keys() - {'discriminator/0/count'}
    assert len(leaves(run.state.opt_state['generator'])) == 2 * len(moving) + 1
    average = run.state.averaged['params']
    assert_same(split(average)[0], before)
    assert jax.tree.structure(average) == jax.tree.structure(first.variables['params'])


def one_step(settings, **options):
    source = settings.dataset.source('train')
    programs = Programs.of(settings, example_of(source), **options)
    batch = sharding.place(source[np.arange(settings.rows_per_step)], programs.batch_sharding)
    return programs.step(programs.init(batch), batch)[0], programs


@pytest.mark.full
def test_what_is_not_frozen_moves_as_without():
    """Plain descent treats each parameter alone."""
    sgd = spec(optax.sgd, learning_rate=0.1)
    settings = experiment_of(tiny.vae(optimizer=sgd, accumulate=1))
    without, _ = one_step(settings, devices=jax.devices()[:1])
    frozen = dataclasses.replace(settings, frozen=('encoder/.*',), mesh=MeshShape(fsdp=4))
    state, programs = one_step(frozen, devices=jax.devices()[:4])
    assert programs.mesh.size == 4
    assert_same(state.variables['params']['decoder'], without.variables['params']['decoder'], 1e-5)
    assert set(leaves(state.ema[0])) == {n for n in leaves(without.ema[0]) if 'encoder' not in n}


def test_frozen_parameters_cost_no_gradient():
    def cost(**fields):
        settings = experiment_of(tiny.vae(accumulate=1, **fields))
        batch = {'x': jax.ShapeDtypeStruct((16, *tiny.SHAPE), 'uint8')}
        state = jax.eval_shape(functools.partial(init_state, settings), batch)
        return flops_of(functools.partial(train_step, settings), state, batch).model

    whole, decoder = cost(), cost(frozen=('decoder/.*',))
    assert decoder < whole
    # The encoder comes first: nothing is differentiated with respect to it or its inputs.
    assert cost(frozen=('encoder/.*',)) < decoder


def test_a_group_is_frozen_if_all_its_parameters_are():
    params = {'a': {'w': 1.0, 'b': 2.0}, 'b': {'w': 3.0}, 'none': {}}
    assert frozen_groups(params, ('a/w', 'b/.*')) == {'b'}
    part = trained(params, ('a/w', 'b/.*'))
    assert part == {'a': {'w': None, 'b': 2.0}, 'b': {'w': None}, 'none': {}}
    assert merged(part, params) == params


@pytest.mark.parametrize(
    ('patterns', 'line'),
    [
        (('encodr/.*',), r"'encodr/\.\*' matches no parameter; did you mean 'encoder'"),
        (('encoder',), r"'encoder' matches no parameter; did you mean 'encoder"),
        (('.*',), 'leaves no parameter to train'),
        (('encoder/(',), r"frozen: 'encoder/\(' is not a regular expression"),
    ],
)
def test_a_wrong_pattern_is_one_line(patterns, line, tmp_path):
    with pytest.raises(UserError, match=line):
        loop.train(tiny.vae(frozen=patterns), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


@pytest.mark.full
@pytest.mark.slow
def test_a_branch_trains_what_was_frozen(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)
    settings = {'accumulate': 1, 'ema': (0.9,)}
    loop.train(tiny.vae(steps=2, frozen=('encoder/.*',), **settings), tmp_path / 'a')
    loop.train(tiny.vae(steps=4, **settings), tmp_path / 'b', branch_from=str(tmp_path / 'a'))
    before, after = (runs.load(tmp_path / name, 'latest').state for name in 'ab')
    was, became = (leaves(state.variables['params']) for state in (before, after))
    assert all(np.any(became[name] != was[name]) for name in was)
    assert leaves(after.ema[0]).keys() == became.keys()
