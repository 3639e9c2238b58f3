"""The share of the chips' peak that training uses."""

import dataclasses
import json
import math

import jax
import pytest

from genjax.hardware.chips import CHIPS
from genjax.hardware.flops import flops_of
from genjax.training import loop, metrics, step
from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs, example_of
from tests.tiers import full
from tests.training import tiny

PEAK = 1e9


@pytest.fixture
def chip(monkeypatch):
    """The machine's devices are chips with a known peak."""
    monkeypatch.setattr(
        metrics, 'chip_of', lambda _: dataclasses.replace(CHIPS['h100'], flops=PEAK)
    )


def records(workdir):
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


@pytest.mark.parametrize('steps_per_call', [full(1), 2])
def test_it_is_the_rate_times_the_work_of_a_step_over_the_peak(tmp_path, chip, steps_per_call):
    run = tiny.vae(steps_per_call=steps_per_call)
    experiment = experiment_of(run)
    programs = Programs.of(experiment, example_of(experiment.dataset.source('train')))
    one = {
        name: jax.ShapeDtypeStruct(a.shape[steps_per_call > 1 :], a.dtype)
        for name, a in programs.batch.items()
    }
    work = flops_of(lambda s, b: step.train_step(experiment, s, b), programs.state, one).model
    loop.train(run, tmp_path)
    rates = [r for r in records(tmp_path) if r.get('steps_per_second')]
    assert rates
    for record in rates:
        expected = record['steps_per_second'] * work / (jax.device_count() * PEAK)
        assert math.isclose(record['mfu'], expected, rel_tol=1e-9)


def test_the_step_is_traced_once(chip, monkeypatch):
    traces = []
    original = step.at_step
    monkeypatch.setattr(step, 'at_step', lambda *args: traces.append(args) or original(*args))
    experiment = experiment_of(tiny.vae())
    source = experiment.dataset.source('train')
    programs = Programs.of(experiment, example_of(source))
    assert metrics.mfu_per_rate(experiment, programs) > 0
    once = len(traces)
    rows = {name: source[range(experiment.rows_per_step)][name] for name in programs.batch}
    batch = jax.device_put(rows, programs.batch_sharding)
    programs.step(programs.init(batch), batch)
    assert len(traces) == once


def test_where_the_peak_is_unknown_it_is_left_out(tmp_path):
    loop.train(tiny.vae(steps=4), tmp_path)
    assert all('mfu' not in record for record in records(tmp_path))
