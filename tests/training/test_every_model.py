"""What training promises, for a tiny model of every family: the compiled step on the zoo."""

import functools

import jax
import numpy as np
import optax
import pytest

from genjax.training import Experiment, MeshShape, sharding
from genjax.training.checkpoints import Checkpoints
from genjax.training.programs import Programs
from tests.models.zoo import ZOO
from tests.training import tiny
from tests.training.conftest import assert_same

STEPS = 2
ONE = MeshShape(data=1)
FOUR = MeshShape(data=2, fsdp=2)


@pytest.fixture(scope='module', autouse=True)
def _unoptimised():
    """Compiles in half the time; what is promised is promised of any code."""
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module', params=ZOO, ids=lambda entry: entry.name)
def entry(request):
    """Each model in turn; its programs are given up before the next model's are compiled."""
    yield request.param
    programs_of.cache_clear()
    jax.clear_caches()


@functools.cache
def programs_of(entry, mesh=ONE):
    """Compiled once for all tests of a model."""
    settings = Experiment(
        tiny.Blots(),  # not read
        entry.model,
        # Plain descent, clipped: Adam turns rounding of vanishing gradients into whole steps, and
        # a model that diverges magnifies it.
        optax.sgd(1e-2, momentum=0.9),
        steps=2 * STEPS,
        batch_size=8,
        clip_norm=1.0,
        ema=(0.9,),
        mesh=mesh,
    )
    example = {name: (a.shape[1:], str(a.dtype)) for name, a in entry.batch().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, 'device_count', lambda: mesh.data * mesh.fsdp)
        patch.setattr(sharding, 'MIN_SIZE_TO_SHARD', 2)  # tiny arrays are sharded too
        return Programs.of(settings, example)


def batch_of(entry, seed):
    """As many rows as a step reads."""
    return entry.batch(8 * max(phase.repeats for phase in entry.model.phases), seed)


def start(entry):
    programs = programs_of(entry)
    return programs.init(sharding.place(batch_of(entry, 0), programs.batch_sharding))


def train(programs, state, batches):
    """The state after a step on each of the batches, and the last step's metrics."""
    for batch in batches:
        state, metrics = programs.step(state, sharding.place(batch, programs.batch_sharding))
    return state, metrics


def test_resumed_training_is_the_same_bit_for_bit(entry, tmp_path):
    programs = programs_of(entry)
    batches = [batch_of(entry, seed) for seed in range(2 * STEPS)]
    whole = train(programs, start(entry), batches)
    half, _ = train(programs, start(entry), batches[:STEPS])
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        checkpoints.save(STEPS, half)
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        step, restored = checkpoints.restore(programs.state)
    assert_same(train(programs, restored, batches[step:]), whole)


def test_four_devices_train_like_one(entry):
    batches = [batch_of(entry, seed) for seed in range(STEPS)]
    alone, figures = train(programs_of(entry), start(entry), batches)
    programs = programs_of(entry, FOUR)
    shardings = jax.tree.map(lambda a: a.sharding, programs.state)
    placed = jax.device_put(jax.device_get(start(entry)), shardings)
    state, others = train(programs, placed, batches)
    params = jax.tree.leaves(state.variables['params'])
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)} == {4}
    assert any(not leaf.is_fully_replicated for leaf in params) or not params
    assert_same(state, alone, 1e-5)
    assert_same(others, figures, 1e-4)


def test_what_is_masked_leaves_the_update_alone(entry):
    if entry.coupled:
        pytest.skip('its examples affect each other')
    batch, other = batch_of(entry, 0), batch_of(entry, 1)
    mask = np.arange(len(batch['x'])) % 3 == 0

    def update(replaced):
        """After a step in which another batch's rows take the place of some."""

        def rows(a, b):
            return np.where(replaced.reshape(-1, *[1] * (a.ndim - 1)), b, a)

        mixed = {**jax.tree.map(rows, batch, other), 'mask': mask}
        return train(programs_of(entry), start(entry), [mixed])

    state, metrics = update(mask & False)
    assert_same(update(~mask), (state, metrics))
    changed, _ = update(mask)
    before, after = jax.device_get((state.variables, changed.variables))
    assert any(jax.tree.leaves(jax.tree.map(lambda a, b: np.any(a != b), before, after)))


def test_nothing_is_compiled_after_the_first_step(entry):
    programs = programs_of(entry)
    train(programs, start(entry), [batch_of(entry, seed) for seed in range(3)])
    assert programs.step._cache_size() == 1
