"""Micro-batches bound memory and change nothing else: a model's state moves once per update."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.errors import UserError
from genjax.models.base import average_states
from genjax.training import Experiment
from genjax.training.state import init_state
from genjax.training.step import train_step
from tests.models.zoo import BY_NAME, ZOO
from tests.training import tiny

pytestmark = pytest.mark.slow

FEW = ('vq', 'naive-bayes', 'uniform-box')
AVERAGED = [e for e in ZOO if e.name not in ('cyclegan-pool', 'jem')]  # whose state are samples


def _settings(entry, accumulate):
    return Experiment(
        dataset=tiny.Blots(),
        model=entry.model,
        optimizer=optax.sgd(0.0),
        steps=10,
        batch_size=8,
        accumulate=accumulate,
    )


def _far_off(path, leaf):
    """Moves averages so far away that what a step makes of them hardly depends on its noise."""
    name = path[-1].key
    averages = ('real', 'fake', 'mean', 'square', 'var', 'w', 'count', 'total')
    return leaf + 100.0 if name in averages else leaf


@pytest.mark.parametrize(
    'name',
    [pytest.param(e.name, marks=[] if e.name in FEW else pytest.mark.full) for e in AVERAGED],
)
def test_the_state_moves_once_per_update(name):
    entry = BY_NAME[name]
    settings = _settings(entry, 1)
    batch = entry.batch(settings.rows_per_step)
    start = jax.jit(functools.partial(init_state, settings))(batch)
    state = start.variables['state']
    if not jax.tree.leaves(state):
        pytest.skip('has no state')
    if not entry.counted:
        state = jax.tree_util.tree_map_with_path(_far_off, state)
    start = start.replace(variables={**start.variables, 'state': state})
    # Statistics of a batch of two are not those of one of eight; moved four times, all are far off.
    near = 0.2 if entry.coupled else 0.1
    once, four = (
        jax.jit(functools.partial(train_step, _settings(entry, n), unroll=False))(start, batch)[0]
        for n in (1, 4)
    )
    moved = jax.tree.map(
        lambda a, b, c: (np.asarray(a - c), np.asarray(b - c)),
        once.variables['state'], four.variables['state'], state,
    )  # fmt: skip
    for path, (a, b) in jax.tree_util.tree_leaves_with_path(
        moved, is_leaf=lambda x: isinstance(x, tuple)
    ):
        np.testing.assert_allclose(b, a, rtol=near, atol=2e-3, err_msg=jax.tree_util.keystr(path))


def test_states_are_averaged_by_what_counts():
    before = {'mean': jnp.float32(5), 'turn': jnp.float32(2), 'updates': jnp.int32(4)}
    states = {
        'mean': jnp.array([1.0, 3.0]),
        'turn': jnp.array([3.0, 3.0]),
        'updates': jnp.array([5, 5]),
    }
    after = average_states(before, states, jnp.array([3.0, 1.0]))
    assert after == {'mean': 1.5, 'turn': 3.0, 'updates': 5}
    nothing = average_states(before, states, jnp.zeros(2))
    assert nothing['mean'] == before['mean']


def test_a_merge_that_loses_state_is_named():
    entry = BY_NAME['gan-lecam']

    class Losing(type(entry.model)):
        def _merged(self, before, states, weights):
            return {}

    fields = {f.name: getattr(entry.model, f.name) for f in dataclasses.fields(entry.model)}
    settings = Experiment(
        dataset=tiny.Blots(),
        model=Losing(**fields),
        optimizer=optax.sgd(0.0),
        steps=10,
        batch_size=8,
    )
    batch = entry.batch(8)
    state = jax.eval_shape(functools.partial(init_state, settings), batch)
    with pytest.raises(UserError, match=r"merge of the phase 'discriminator' .*must return the"):
        jax.eval_shape(functools.partial(train_step, settings), state, batch)


def test_the_mean_of_equal_states_is_exact():
    rng = np.random.default_rng(0)
    for _ in range(16):
        weights = jnp.asarray(rng.integers(0, 100, 7), jnp.float32)
        before = jnp.asarray([3.0, *rng.standard_normal(100)], jnp.float32)
        after = average_states(
            {'of another': before}, {'of another': jnp.stack([before] * 7)}, weights
        )
        np.testing.assert_array_equal(after['of another'], before)


def test_the_augmentation_adapts_to_the_sign_of_all_logits():
    """Not to that of each micro-batch: three of four are below the target, their mean above it."""
    model = BY_NAME['gan-augmented'].model
    signs, weights = jnp.array([0.5, 0.5, 0.5, 1.0]), jnp.array([1.0, 1.0, 1.0, 5.0])
    states = {'discriminator': {'augment': {'probability': jnp.full(4, 0.5), 'sign': signs}}}
    before = {'discriminator': {'augment': {'probability': jnp.float32(0.5)}}}
    after = model.phases[0].merge(before, states, weights)
    np.testing.assert_allclose(after['discriminator']['augment']['probability'], 0.508, rtol=1e-6)
