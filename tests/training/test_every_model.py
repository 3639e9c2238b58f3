"""What training promises, for compiled steps of the zoo: few models, with --full all of them."""

import jax
import numpy as np
import pytest

from genjax.training import MeshShape
from genjax.training.checkpoints import Checkpoints
from tests.models.zoo import REPRESENTATIVES, every
from tests.training.conftest import assert_same
from tests.training.zoo_programs import batch_of, programs_of, start, train

pytestmark = pytest.mark.slow

STEPS = 2
FOUR = MeshShape(data=2, fsdp=2)


ALL = every()
FEW = every(few=REPRESENTATIVES)
QUICK = every(few=[name for name in REPRESENTATIVES if name != 'gan-augmented'])  # it compiles long


@ALL
def test_a_restored_state_is_the_saved_one(entry, tmp_path):
    state = start(entry)
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        checkpoints.save(1, state)
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        _, restored = checkpoints.restore(programs_of(entry).state)
    assert_same(restored, state)


@FEW
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


@QUICK
def test_four_devices_train_like_one(entry):
    batches = [batch_of(entry, seed) for seed in range(STEPS)]
    alone, figures = train(programs_of(entry), start(entry), batches)
    programs = programs_of(entry, FOUR)
    state, others = train(programs, start(entry, FOUR), batches)
    params = jax.tree.leaves(state.variables['params'])
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)} == {4}
    assert any(not leaf.is_fully_replicated for leaf in params) or not params
    assert_same(state, alone, 1e-5)
    assert_same(others, figures, 1e-4)


@FEW
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


@FEW
def test_nothing_is_compiled_after_the_first_step(entry):
    programs = programs_of(entry)
    train(programs, start(entry), [batch_of(entry, seed) for seed in range(3)])
    assert programs.step._cache_size() == 1
