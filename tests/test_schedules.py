"""Schedules against the steps that they describe."""

import jax
import numpy as np
import optax
import pytest

from genjax import config as configs
from genjax.config import build
from genjax.schedules import at_step, cosine, half_life, staircase


def test_staircase():
    schedule = jax.jit(staircase((3.0, 2.0, 1.0), (2, 1, 4)))
    assert [float(schedule(step)) for step in range(9)] == [3, 3, 2, 1, 1, 1, 1, 1, 1]
    with pytest.raises(ValueError, match='lengths'):
        staircase((1.0,), (1, 2))


def test_a_cosine_falls_as_that_of_optax_and_rises():
    steps = np.arange(0, 15, 3)
    np.testing.assert_allclose(
        cosine(2.0, 0.5, 10)(steps), optax.cosine_decay_schedule(2.0, 10, 0.25)(steps), rtol=1e-6
    )
    np.testing.assert_allclose(cosine(0.0, 4.0, 10)(np.array([0, 5, 10, 20])), [0, 2, 4, 4])


def test_after_a_half_life_an_average_has_lost_half():
    decay = half_life(lambda step: 500.0, batch_size=20)(7)
    assert decay**25 == pytest.approx(0.5)
    assert half_life(lambda step: 0.0, batch_size=20)(0) == 0


def test_r3gan_has_the_ramps_of_its_figure():
    """Huang et al. (2024), their CIFAR-10 preset: the values at 0, 10 and 20 million images."""
    experiment = build(configs.load('configs/cifar10/r3gan.py'))
    for step, share in ((0, 0), (experiment.steps / 2, 0.5), (experiment.steps, 1)):
        model, (decay,) = at_step(experiment.model, step), at_step(experiment.ema, step)
        assert model.augment.probability == pytest.approx(0.3 * share, abs=1e-6)
        assert model.r1 == model.r2 == pytest.approx(0.05 - 0.045 * share)
        assert decay == pytest.approx(0.5 ** (512 / max(5e6 * share, 1e-8)), abs=1e-6)
