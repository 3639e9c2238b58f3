"""Every family trains on eight devices, however arranged, as on one."""

import jax
import numpy as np
import pytest

from genjax import config as configs
from genjax.config import build
from genjax.parallel import sharding
from genjax.training import MeshShape
from genjax.training.programs import Programs
from tests.models.zoo import BY_NAME, every
from tests.training import tiny
from tests.training.conftest import assert_same
from tests.training.zoo_programs import batch_of, programs_of, start, train

pytestmark = pytest.mark.slow

STEPS = 20
MESHES = {
    'data': MeshShape(data=8),
    'fsdp': MeshShape(data=1, fsdp=8),
    'data-fsdp': MeshShape(data=2, fsdp=4),
    'tensor': MeshShape(data=2, fsdp=2, tensor=2),
}
FAMILIES = ('vae', 'gan', 'flow-maf-spline', 'gpt-rotary-scan', 'diffusion-dit')
TRANSFORMERS = ('gpt-rotary-scan', 'diffusion-dit')


@pytest.mark.parametrize(
    'name',
    [name if name == 'tensor' else pytest.param(name, marks=pytest.mark.full) for name in MESHES],
)
@every([BY_NAME[name] for name in FAMILIES], few=TRANSFORMERS[:1])
def test_twenty_steps_on_eight_devices_are_those_of_one(entry, name):
    if name == 'tensor' and entry.name not in TRANSFORMERS:
        pytest.skip('no network of it divides over this axis')
    mesh = MESHES[name]
    batches = [batch_of(entry, seed) for seed in range(STEPS)]
    alone, figures = train(programs_of(entry), start(entry), batches)
    state, others = train(programs_of(entry, mesh), start(entry, mesh), batches)
    specs = [leaf.sharding.spec for leaf in jax.tree.leaves(state)]
    for axis in ('fsdp', 'tensor'):
        assert any(axis in spec for spec in specs) == (getattr(mesh, axis) > 1), axis
    assert_same(state, alone, 1e-5)
    assert_same(others, figures, 1e-4)


@pytest.mark.full
def test_averages_on_the_host_change_nothing_but_their_place():
    """And the step takes and gives them back there."""
    entry = BY_NAME['vae']
    batches = [batch_of(entry, seed) for seed in range(3)]
    want, _ = train(programs_of(entry), start(entry), batches)
    mesh = MeshShape(data=2, fsdp=2)
    state, _ = train(
        programs_of(entry, mesh, ema_on_host=True), start(entry, mesh, ema_on_host=True), batches
    )
    kinds = {leaf.sharding.memory_kind for leaf in jax.tree.leaves(state.ema)}
    assert kinds == {'pinned_host'}
    assert_same(state, want, 1e-6)
    fetched = jax.tree.leaves(state.averaged)
    assert {leaf.sharding.memory_kind for leaf in fetched} == {'device'}
    assert_same(state.averaged, want.averaged, 1e-6)


def test_averages_on_the_host_go_through_many_steps_in_a_call():
    config = tiny.vae(steps_per_call=2, accumulate=1, ema_on_host=True)
    programs = Programs.of(build(config), {'x': (tiny.SHAPE, 'uint8')}, jax.devices()[:1])
    step = programs.step.trace(programs.state, programs.batch)
    kinds = {a.sharding.memory_kind for a in jax.tree.leaves(programs.state.ema)}
    assert kinds == {'pinned_host'}
    assert step.out_info[0].step.shape == ()


@pytest.mark.full
def test_muon_and_schedule_free_on_four_devices_are_those_of_one(monkeypatch):
    """And their average, which is evaluated, lies where the parameters do."""
    monkeypatch.setattr(sharding, 'MIN_SIZE_TO_SHARD', 2)
    entry, found = tiny.Blots().source('train')[np.arange(32)], []
    for mesh in (MeshShape(data=1), MeshShape(data=2, fsdp=2)):
        # Adam, for all that is no matrix, turns rounding of vanishing gradients into whole steps.
        rate = {'optimizer.discriminator.adam_learning_rate': 1e-9}
        config = configs.with_fields(tiny.optimized(accumulate=1, mesh=mesh), rate)
        count = mesh.data * mesh.fsdp
        shapes = {'x': (tiny.SHAPE, 'uint8')}
        programs = Programs.of(build(config), shapes, jax.devices()[:count])
        batch = sharding.place({'x': entry['x']}, programs.batch_sharding)
        state, metrics = programs.init(batch), None
        for _ in range(3):
            state, metrics = programs.step(state, batch)
        found.append((state.variables, metrics, state.averaged))
    (one, figures, mean), (four, others, average) = found
    assert_same(four, one, 1e-4)
    assert_same(others, figures, 1e-3)
    assert_same(average, mean, 1e-4)
    specs = [leaf.sharding.spec for leaf in jax.tree.leaves(average['params']['generator'])]
    assert any('fsdp' in spec for spec in specs)
