"""What the loop costs and what it leaves: compilation, transfers, records, checkpoints."""

import io
import json
import logging
import sys
import types

import jax
import numpy as np
import optax
import pytest
from tensorboardX.proto.event_pb2 import Event

from genjax.config import spec
from genjax.training import loop, writers
from genjax.training.events import Events
from genjax.training.experiment import experiment_of
from genjax.training.loop import Loop
from genjax.training.metrics import MetricLog
from genjax.training.progress import Progress
from tests.tiers import full
from tests.training import tiny
from tests.training.conftest import records

EVERYTHING = {
    'log_every': 2,
    'checkpoint_every': 2,
    'sample_every': 4,
    'evals': '{"moved": @tests.training.tiny.Moved}',
    'evals__moved__split': 'validation',
    'evals__moved__every': 4,
    'best': 'moved',
}
EVALUATED = 'moved/moved'


class Compilations(logging.Handler):
    """Notes what JAX compiles, and after which step."""

    def __init__(self):
        super().__init__()
        self.step, self.found = 0, []

    def emit(self, record):
        message = record.getMessage()
        if message.startswith('Compiling '):
            self.found.append((self.step, message.split(' with ')[0]))


@pytest.mark.full
@pytest.mark.parametrize('family', ['vae', 'gan'])
def test_nothing_is_compiled_after_the_first_of_each_event(family, train, monkeypatch):
    compilations = Compilations()
    original = Events.hold

    def counted(self, due, step, *rest):
        original(self, due, step, *rest)
        compilations.step = step

    monkeypatch.setattr(Events, 'hold', counted)
    fields = (
        dict(EVERYTHING)
        if family == 'vae'
        else {'log_every': 2, 'sample_every': 4, 'checkpoint_every': 4}
    )
    jax.clear_caches()
    logger = logging.getLogger('jax')
    logger.addHandler(compilations)
    monkeypatch.setattr(logger, 'propagate', False)
    try:
        with jax.log_compiles(True):
            status, _, _ = train(family=family, **fields)
    finally:
        logger.removeHandler(compilations)
    assert status == 0
    names = [name for _, name in compilations.found]
    assert any('train_step' in name for name in names), names
    after = [found for found in compilations.found if 4 <= found[0] < 12]
    assert not after


@pytest.mark.parametrize('family', ['judged', full('gan')])
def test_loop_transfers_nothing_implicitly(family, train, monkeypatch):
    """From the first batch to the last checkpoint, with validation and pictures."""
    original = Loop.train

    def guarded(self, *args):
        with jax.transfer_guard('disallow'):
            return original(self, *args)

    monkeypatch.setattr(Loop, 'train', guarded)
    status, _, err = train(family=family, steps_per_call=2, checkpoint_every=2, sample_every=4)
    assert (status, err) == (0, '')


def test_records_are_means_over_the_steps_since_the_last(train, workdir, tmp_path):
    assert train(workdir=tmp_path / 'each')[0] == 0
    assert train(log_every=4)[0] == 0
    each, means = records(tmp_path / 'each'), records(workdir)
    assert [r['step'] for r in means] == [4, 8, 12]
    for i, mean in enumerate(means):
        part = each[4 * i : 4 * i + 4]
        for name in mean.keys() - {'step'}:
            np.testing.assert_allclose(mean[name], np.mean([r[name] for r in part]), rtol=1e-6)


class Late:
    """A metric that must not be read before the next call has been dispatched."""

    dispatched = 0

    def __init__(self, step):
        self.step = step

    def __array__(self, dtype=None, copy=None):
        assert Late.dispatched > self.step, 'read too early'
        return np.array([float(self.step)], np.float32)


def test_metrics_are_fetched_one_call_late(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, 'device_get', lambda metrics: jax.tree.map(np.asarray, metrics))
    monkeypatch.setattr(Late, 'dispatched', 0)
    settings = experiment_of(tiny.vae())
    with writers.MetricWriter(tmp_path, 0) as writer, Progress(0, 12) as progress:
        log = MetricLog(settings, writer, progress, {})
        for step in range(1, 5):
            Late.dispatched = step
            log.push(step, {'vae/loss': Late(step)})
            written = (tmp_path / 'metrics.jsonl').read_text().count('\n')
            assert written == step - 1
        Late.dispatched = 5
        log.flush()
    assert [r['vae/loss'] for r in records(tmp_path)] == [1, 2, 3, 4]


class Device:
    """A device and a clock: calls take `work` seconds each, one after another."""

    def __init__(self, work):
        self.now, self._free, self._work = 0.0, 0.0, work

    def call(self):
        self._free = max(self._free, self.now) + self._work
        return Result(self, self._free)

    def get(self, results):
        self.now = max([self.now, *(result.end for result in results.values())])
        return {name: np.zeros(1) for name in results}


class Result:
    """A metric of a call that ends at a time of its device's clock."""

    def __init__(self, device, end):
        self.end, self._device = end, device

    def is_ready(self):
        return self.end <= self._device.now


@pytest.mark.parametrize(
    ('making', 'work', 'waited'),
    [(0.0, 1.0, 0.0), (0.9, 1.0, 0.0), (3.0, 1.0, 1.0), (3.0, 0.0, 1.0), (0.5, 0.0, 1.0)],
)
def test_data_wait_is_the_share_of_the_time_in_which_data_held_up_the_device(
    making, work, waited, tmp_path, monkeypatch
):
    device = Device(work)
    for clock in ('perf_counter', 'monotonic'):
        monkeypatch.setattr(f'time.{clock}', lambda: device.now)
    monkeypatch.setattr(jax, 'device_get', device.get)
    settings = experiment_of(tiny.vae(steps=21, log_every=10))
    with writers.MetricWriter(tmp_path, 0) as writer, Progress(0, 21) as progress:
        log = MetricLog(settings, writer, progress, {})
        for step in range(1, 22):
            with log.waiting_for_data():
                device.now += making
            log.push(step, {'vae/loss': device.call()})
    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert [line['step'] for line in lines] == [10, 20]
    for line in lines:
        assert line['data_wait'] == pytest.approx(waited, abs=1e-6)
    assert lines[1]['steps_per_second'] == pytest.approx(1 / max(making, work))


def test_records_after_the_restored_step_are_dropped(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    lines = [json.dumps({'step': n, 'vae/loss': 1.0}) for n in (1, 2, 3, 4)]
    path.write_text('\n'.join([*lines[:2], '"text"', *lines[2:], '{"step": 5, "va']))
    with writers.MetricWriter(tmp_path, 3) as writer:
        writer.write(4, {'vae/loss': float('nan')})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        *map(json.loads, lines[:3]),
        {'step': 4, 'vae/loss': None},
    ]


def events(folder):
    """All TensorBoard events, in order."""
    found = []
    for path in sorted(folder.glob('events.out.tfevents.*')):
        file = io.BytesIO(path.read_bytes())
        while header := file.read(12):
            found.append(Event.FromString(file.read(int.from_bytes(header[:8], 'little'))))
            file.read(4)
    return found


def test_tensorboard_has_numbers_and_pictures(train, workdir):
    assert train(steps=4, sample_every=2)[0] == 0
    found = events(workdir / 'tensorboard')
    values = [(e.step, v) for e in found for v in e.summary.value]
    losses = {step: v.simple_value for step, v in values if v.tag == 'vae/loss'}
    want = {r['step']: r['vae/loss'] for r in records(workdir)}
    assert losses.keys() == want.keys()
    np.testing.assert_allclose([losses[s] for s in want], list(want.values()), rtol=1e-6)
    pictures = [(step, v.tag) for step, v in values if v.HasField('image')]
    assert pictures == [(s, n) for s in (2, 4) for n in ('samples', 'reconstructions')]


def test_final_results_the_config_and_the_learning_rate_are_logged(workdir):
    schedule = optax.linear_schedule(1e-2, 0.0, 4)
    rate = spec(optax.linear_schedule, init_value=1e-2, end_value=0.0, transition_steps=4)
    config = tiny.vae(
        steps=4,
        optimizer=spec(optax.adam, learning_rate=rate),
        evals={'end': spec(tiny.Moved)},
    )
    loop.train(config, workdir)
    found = [record['vae/learning_rate'] for record in records(workdir)]
    np.testing.assert_allclose(found, [schedule(step) for step in range(4)], rtol=1e-6)
    (end,) = records(workdir, 'end/moved')
    values = {v.tag: v for e in events(workdir / 'tensorboard') for v in e.summary.value}
    assert values['end/moved'].simple_value == pytest.approx(end['end/moved'])
    assert b'"steps": 4' in values['config/text_summary'].tensor.string_val[0]


@pytest.mark.full
def test_every_player_has_its_learning_rate(workdir):
    loop.train(tiny.gan(steps=1), workdir)
    (record,) = records(workdir, 'generator/loss')
    assert record['generator/learning_rate'] == record['discriminator/learning_rate'] == 1e-2


def test_profile_of_a_few_steps(train, workdir):
    assert train(profile='(3, 5)', steps=6)[0] == 0
    (trace,) = (workdir / 'tensorboard').rglob('*.xplane.pb')
    profile = jax.profiler.ProfileData.from_file(str(trace))
    names = {
        event.name for plane in profile.planes for line in plane.lines for event in line.events
    }
    assert any('train_step' in name for name in names)


@pytest.mark.full
def test_weights_and_biases(train, monkeypatch, workdir):
    calls = []
    run = types.SimpleNamespace(
        log=lambda metrics, step: calls.append((step, metrics)),
        finish=lambda: calls.append('finished'),
        summary={},
    )
    stub = types.SimpleNamespace(
        init=lambda **options: calls.append(options) or run, Image=lambda pixels: pixels.shape
    )
    monkeypatch.setitem(sys.modules, 'wandb', stub)
    end = '{"end": @tests.training.tiny.Moved}'
    assert train(steps=2, wandb='project', evals=end)[0] == 0
    options = calls[0]
    assert options['project'] == 'project' and options['resume'] == 'allow'
    assert options['config']['steps'] == 2
    assert options['name'] == workdir.name and options['id'].isalnum()  # of which W&B has rules
    assert [c[0] for c in calls[1:-1]] == [1, 2, 2, 2]
    assert calls[2][1]['vae/loss'] == records(workdir)[1]['vae/loss']
    assert run.summary == {'end/moved': records(workdir, 'end/moved')[0]['end/moved']}
    assert calls[-1] == 'finished'
    before = list(calls)
    assert train(steps=3, wandb='project')[0] == 0
    assert calls[len(before)]['id'] == options['id']  # the same run is resumed

    def refuse(**options):
        raise RuntimeError('api_key not configured (no-tty)')

    stub.init = refuse
    status, _, lines = train(steps=4, wandb='project')
    assert status == 2 and "config.wandb='project': api_key not configured" in lines
