"""The number of steps in a dispatch, where the config leaves it open."""

import dataclasses

import jax
import pytest

from genjax.config import build
from genjax.evaluation import Likelihood
from genjax.hardware.chips import CHIPS
from genjax.training import dispatch, loop
from genjax.training.dispatch import steps_per_call
from genjax.training.programs import Programs
from tests.training import tiny


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(dispatch, '_gpu', lambda programs: CHIPS['h100'])


def chosen(done=(), **fields):
    experiment = build(tiny.vae(**fields))
    programs = Programs.of(experiment, {'x': (tiny.SHAPE, 'uint8')}, jax.devices()[:1])
    return steps_per_call(experiment, programs, done)


def test_it_divides_all_periods(gpu):
    evals = {'nll': Likelihood(split='validation', every=200)}
    assert chosen(steps=4000) == 10
    assert chosen(steps=4000, sample_every=16) == 8
    assert chosen(steps=4008, checkpoint_every=0) == 8
    assert chosen(steps=4000, checkpoint_every=500, evals=evals, done=[100, 1300]) == 10
    assert chosen(steps=4000, done=[13]) == 1
    assert chosen(steps=4000, steps_per_call=2) == 2


def test_long_steps_and_other_devices_have_one(monkeypatch, gpu):
    for slow in ({'flops': 1e6}, {'memory_bandwidth': 1e8}):
        chip = dataclasses.replace(CHIPS['h100'], **slow)
        monkeypatch.setattr(dispatch, '_gpu', lambda programs, chip=chip: chip)
        assert chosen(steps=4000) == 1
    monkeypatch.undo()
    assert chosen(steps=4000) == 1


@pytest.mark.full
def test_a_run_takes_as_many_and_resumes_from_any_step(gpu, tmp_path, monkeypatch):
    taken = []
    feed = loop.feed
    monkeypatch.setattr(loop, 'feed', lambda *args: taken.append(args[-1]) or feed(*args))
    for steps in (3, 12):
        loop.train(tiny.vae(steps=steps, checkpoint_every=0), tmp_path)
    assert taken == [3, 3]
