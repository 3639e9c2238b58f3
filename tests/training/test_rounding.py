"""bfloat16 parameters and moments: rounding is unbiased, and training with it does not stall."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.config import build, spec
from genjax.parallel import sharding
from genjax.training import rounding
from genjax.training.checkpoints import Checkpoints
from genjax.training.programs import Programs
from tests.training import tiny
from tests.training.conftest import assert_same

KEY = jax.random.key(0)


def test_the_mean_of_many_roundings_is_the_value():
    values = np.array([1.001, -1.001, 255.3, -3e-20, 1.9999999, 3e38, 0.3], np.float32)
    num = 40_000
    many = jnp.broadcast_to(values, (num, len(values)))
    got = rounding.rounded({'x': many}, 'bfloat16', KEY)['x']
    assert got.dtype == jnp.bfloat16
    got = np.asarray(got, np.float64)
    cut = (values.view(np.uint32) & 0xFFFF0000).view(np.float32).astype(np.float64)
    away = ((values.view(np.uint32) & 0xFFFF0000) + 0x10000).view(np.float32).astype(np.float64)
    assert all(set(column) <= {a, b} for column, a, b in zip(got.T, cut, away, strict=True))
    share = (values - cut) / (away - cut)
    error = np.abs(away - cut) * np.sqrt(share * (1 - share) / num)
    assert np.all(np.abs(got.mean(0) - values) < 5 * error)


def test_what_bfloat16_has_stays_and_so_does_what_is_not_finite():
    values = np.array([0.0, -0.0, 1.5, -(2.0**-126), np.inf, -np.inf], np.float32)
    got = rounding.rounded(jnp.asarray(values), 'bfloat16', KEY)
    np.testing.assert_array_equal(np.asarray(got, np.float32), values)
    payloads = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000, 0x7F800001], np.uint32)
    nan = rounding.rounded(jnp.asarray(payloads.view(np.float32)), 'bfloat16', KEY)
    assert np.all(np.isnan(np.asarray(nan, np.float32)))


def test_it_is_a_function_of_the_key_and_leaves_scalars_and_counts():
    tree = {'m': jax.random.normal(KEY, (64,)), 'rate': jnp.float32(1e-3), 'count': jnp.int32(3)}
    once, again, other = (
        rounding.rounded(tree, 'bfloat16', jax.random.key(seed)) for seed in (1, 1, 2)
    )
    assert_same(once, again)
    assert np.any(once['m'] != other['m'])
    assert once['rate'] == tree['rate'] and once['count'] == 3
    assert_same(rounding.rounded(tree, 'float32', KEY), tree)


def trained(steps, **fields):
    """Losses and last state of a small VAE whose updates are about 1/2,000 of its parameters."""
    fields = {'params_dtype': 'bfloat16', 'moments_dtype': 'bfloat16', **fields}
    optimizer = spec(optax.adam, 2e-4)
    experiment = build(tiny.vae(ema=(), accumulate=1, batch_size=40, optimizer=optimizer, **fields))
    programs = Programs.of(experiment, {'x': (tiny.SHAPE, 'uint8')}, jax.devices()[:1])
    batch = {'x': experiment.dataset.source('train')[np.arange(40)]['x']}
    batch = sharding.place(batch, programs.batch_sharding)
    state, losses = programs.init(batch), []
    for _ in range(steps):
        state, metrics = programs.step(state, batch)
        losses.append(metrics['vae/loss'])
    return programs, batch, state, np.asarray(losses)


@pytest.mark.slow
def test_training_neither_stalls_nor_depends_on_a_stop(tmp_path, monkeypatch):
    *_, exact = trained(400, params_dtype='float32', moments_dtype='float32')
    programs, batch, state, losses = trained(400)
    dtypes = {a.dtype for a in jax.tree.leaves((state.variables['params'], state.opt_state))}
    assert dtypes == {jnp.dtype('bfloat16'), jnp.dtype('int32')}
    assert {a.dtype for a in jax.tree.leaves(state.latest['params'])} == {jnp.dtype('float32')}

    last, error = exact[-50:].mean(), exact[-50:].std() / 50**0.5
    assert abs(losses[-50:].mean() - last) < 4 * error < 0.5
    assert losses[:10].mean() - last > 2

    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        checkpoints.save(400, state)
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        _, restored = checkpoints.restore(programs.state)
    assert_same(programs.step(restored, batch), programs.step(state, batch))

    monkeypatch.setattr(rounding, '_stochastic', lambda x, key: x.astype(jnp.bfloat16))
    *_, stalled = trained(400)
    assert stalled[-50:].mean() > last + 1.5
