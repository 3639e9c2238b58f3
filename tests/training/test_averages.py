"""Averages of parameters against their weights written out."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import genjax
from genjax.config import spec
from genjax.errors import UserError
from genjax.training import HalfLife, PowerEMA, loop
from genjax.training.averages import Average, coefficients, exponent, rate
from tests.tiers import full
from tests.training import tiny

STEPS = 4096


@functools.cache
def rates_of(average):
    """Its rates at all steps, [STEPS]."""
    rates = jax.vmap(lambda n: rate(average, n, batch_size=8))(jnp.arange(1.0, STEPS + 1))
    return np.asarray(rates, np.float64)


def weights(average, steps=STEPS):
    """Weight of the parameters after each step in their average, [steps]."""
    rates = rates_of(average)[:steps]
    return rates * np.append(np.cumprod((1 - rates)[:0:-1])[::-1], 1.0)


@pytest.mark.parametrize('std', [0.02, 0.05, 0.1, 0.25])
def test_a_power_function_has_its_exponent_and_its_width(std):
    power = exponent(std, np)
    roots = np.roots([1, 7, 16 - std**-2, 12 - std**-2])  # Karras et al. (2024), eq. 126
    assert power == pytest.approx(max(roots.real))
    steps = np.arange(STEPS + 1) / STEPS
    got = weights(PowerEMA(std))
    np.testing.assert_allclose(got, np.diff(steps ** (power + 1)), rtol=1e-3, atol=1e-7)
    middle = (steps[1:] + steps[:-1]) / 2
    assert np.sqrt(got @ middle**2 - (got @ middle) ** 2) == pytest.approx(std, rel=1e-3)


@pytest.mark.parametrize('ramp', [0.05, None])
def test_a_half_life_in_images_with_and_without_a_ramp(ramp):
    average, got = HalfLife(1000.0, ramp), []
    for n in (1, 11, 501, 4001):
        half = 1000.0 if ramp is None else min(1000.0, ramp * 8 * (n - 1))
        got.append(float(rate(average, jnp.float32(n), 8)))
        assert got[-1] == pytest.approx(1 - 0.5 ** (8 / half) if half else 1.0, rel=1e-5)
    if ramp is None:  # as the name has it: after 125 steps of 8 images
        assert weights(average)[-125:].sum() == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize('std', [0.03, 0.08, 0.15, 0.2])
def test_two_averages_give_those_between_and_beside_them(std):
    tracked = [(at, s) for at in range(64, STEPS + 1, 64) for s in (0.05, 0.1)]
    found, error = coefficients(tracked, STEPS, std)
    rows = [np.pad(weights(PowerEMA(s), at), (0, STEPS - at)) for at, s in tracked]
    want = weights(PowerEMA(std))
    off = np.linalg.norm(found @ np.array(rows) - want) / np.linalg.norm(want)
    assert off < 4e-3 and error == pytest.approx(off, abs=5e-4)
    assert found.sum() == pytest.approx(1.0)


def test_few_checkpoints_are_not_enough_and_that_is_known():
    found, error = coefficients([(STEPS, 0.05), (STEPS, 0.1)], STEPS, 0.2)
    mix = found @ np.array([weights(PowerEMA(s)) for s in (0.05, 0.1)])
    want = weights(PowerEMA(0.2))
    off = np.linalg.norm(mix - want) / np.linalg.norm(want)
    assert error == pytest.approx(off, rel=0.01) and error > 0.1


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A run whose wanted averages were also tracked, by other names."""
    path = tmp_path_factory.mktemp('runs') / 'vae'
    config = tiny.vae(
        steps=256, batch_size=8, accumulate=1, steps_per_call=8, checkpoint_every=8,
        keep=1, keep_every=8, log_every=256,
        ema=(0.9, spec(PowerEMA, 0.05), spec(PowerEMA, 0.1), spec(Twin, 0.08), spec(Twin, 0.15)),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        loop.train(config, path)
    return path


@dataclasses.dataclass(frozen=True)
class Twin(Average):
    """A power function that reconstruction does not know of."""

    std: float

    def rate(self, updates, batch_size):
        return PowerEMA(self.std).rate(updates, batch_size)


@pytest.mark.parametrize(('std', 'number'), [(0.08, 3), full(0.15, 4)])
def test_an_average_computed_after_training_is_the_one_tracked(folder, std, number):
    difference = functools.partial(jax.tree.map, lambda a, b: a - b)
    for step in (256, 192):
        run = genjax.load(folder, step, ema=PowerEMA(std))
        want = run.state.average(number)['params']
        off = float(optax.tree.norm(difference(run.variables['params'], want)))
        assert off < 1e-3 * float(optax.tree.norm(want))
        assert off < 5e-3 * float(optax.tree.norm(difference(want, run.state.variables['params'])))
    assert run.sample(2).shape == (2, *tiny.SHAPE)


def test_what_cannot_be_computed_is_named(folder):
    with pytest.raises(UserError, match=r'PowerEMA\.std must be more than 0 and at most'):
        PowerEMA(0.4)
    assert genjax.load(folder, ema=PowerEMA(0.05)).experiment.ema[1] == PowerEMA(0.05)
