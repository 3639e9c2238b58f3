"""Several processes, each with devices of its own, train as one would alone, and end together."""

import itertools
import json
import os
import shutil
import signal
import time
from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from genjax.data.pipeline import batch_indices
from genjax.errors import UserError
from genjax.parallel import distributed
from tests.training import tiny
from tests.training.conftest import arguments, records, steps_saved
from tests.training.processes import said

EXIT_PEER = 69
ROWS = 16  # in a global batch


class Elastic:
    """A run that loses processes and goes on with others, and one that nothing happened to."""

    def __init__(self, processes, folder):
        self.processes, self.folder = processes, folder
        self.logs = []

    def run(self, name, count, devices, watch, **overrides):
        """Starts `count` processes of the run `name`; returns their ids and the file of their
        logs.
        """
        log = self.folder / f'log{len(self.logs)}'
        self.logs.append(log)
        watched = self.folder / watch
        watched.mkdir()
        words = arguments(self.folder / name, family='elastic', **overrides)
        return self.processes.start_together(
            count, words, log, devices, {'WATCHED': str(watched)}
        ), log

    def completed(self, name, count, devices, **overrides):
        children, log = self.run(name, count, devices, **overrides)
        statuses = [self.processes.wait(child) for child in children]
        assert statuses == [0] * count, said(f'{log}.0')

    def killed(self, who, step, name, count, devices, **overrides):
        """Kills one of the processes after a step; returns what the others do then."""
        children, log = self.run(name, count, devices, steps=100_000, **overrides)
        deadline = time.monotonic() + 100
        while not _has_reached(self.folder / name, step):
            lines = said(f'{log}.0')
            assert time.monotonic() < deadline and not any('error' in x for x in lines), lines
            time.sleep(0.02)
        os.kill(children[who], signal.SIGKILL)
        assert self.processes.wait(children[who]) == -signal.SIGKILL
        start = time.monotonic()
        statuses = [self.processes.wait(child) for child in children if child != children[who]]
        # JAX's own threads may write to the log as well, before or after.
        line = [x for x in said(f'{log}.{1 - who}') if x.startswith('genjax: ')][-1]
        return statuses, time.monotonic() - start, line


def _has_reached(workdir, step):
    try:
        return records(workdir)[-1]['step'] >= step and max(steps_saved(workdir)) >= step
    except (OSError, ValueError, IndexError):
        return False


@pytest.fixture(scope='module')
def elastic(processes, tmp_path_factory):
    """2 processes with 2 devices each lose one and then, on another mesh, the other. 1 with 1
    device and 2 with 1 go on from there.
    """
    runs = Elastic(processes, tmp_path_factory.mktemp('elastic'))
    folder = runs.folder
    runs.ends = [
        runs.killed(1, 2, 'two', 2, 2, watch='first'),
        runs.killed(0, 4, 'two', 2, 2, watch='second', mesh__fsdp=1, mesh__tensor=4),
    ]
    runs.steps = max(steps_saved(folder / 'two')) + 3
    shutil.copytree(folder / 'two', folder / 'one')
    for name, count in (('two', 2), ('one', 1), ('whole', 1)):
        runs.completed(name, count, 1, watch=f'{name}_last', steps=runs.steps)
    return runs


def test_who_is_killed_is_named_and_the_others_end(elastic):
    for killed, (statuses, seconds, line) in zip((1, 0), elastic.ends, strict=True):
        assert statuses == [EXIT_PEER] and seconds < 10
        assert line == (
            f'genjax: process {killed} of 2 is gone, and the run with it; the same command resumes'
            ' from what is saved'
        )


def test_losses_are_those_of_one_process(elastic):
    whole = records(elastic.folder / 'whole')
    assert [record['step'] for record in whole] == list(range(1, elastic.steps + 1))
    for name in ('one', 'two'):
        others = records(elastic.folder / name)
        assert [record['step'] for record in others] == [record['step'] for record in whole]
        for record, other in zip(whole, others, strict=True):
            assert other.keys() == record.keys()
            np.testing.assert_allclose(
                [other[key] for key in record], [record[key] for key in record], rtol=1e-6
            )


def test_results_and_samples_are_those_of_one_process(elastic, processes):
    evals = {
        name: json.loads((elastic.folder / name / f'evaluations/{elastic.steps}.json').read_text())
        for name in ('whole', 'one', 'two')
    }
    whole = evals['whole']['evals']
    assert whole.keys() == {'nll', 'mmd'}
    for name in ('one', 'two'):
        for key, kept in evals[name]['evals'].items():
            for result, value in kept['results'].items():
                expected = whole[key]['results'][result]
                same = value == expected if isinstance(value, str) else None
                assert same or value == pytest.approx(expected, rel=1e-5, abs=1e-7), key

    samples = {}
    for count in (1, 2):
        out = elastic.folder / f'{count}.npz'
        words = ['sample', f'--workdir={elastic.folder / "whole"}', '--num=300', f'--out={out}']
        words.append('--dtype=float32')
        log = elastic.folder / f'samples{count}'
        children = processes.start_together(count, words, log, 2)
        assert [processes.wait(child) for child in children] == [0] * count, said(f'{log}.0')
        samples[count] = np.load(out)['x']
    assert samples[2].shape == (300, *tiny.SHAPE)
    np.testing.assert_allclose(samples[2], samples[1], atol=1e-6)


@pytest.mark.parametrize('watch', ['first', 'second', 'two_last', 'one_last', 'whole_last'])
def test_the_processes_read_the_global_batches_among_them(watch, elastic):
    size = tiny.Blots().size
    content = tiny.Blots().source('train')._arrays['x']
    streams = []
    for file in sorted((elastic.folder / watch).iterdir()):
        lines = [json.loads(line) for line in file.read_text().splitlines() if line.endswith(']')]
        # One or two examples tell the shapes, and all are compared with the model.
        lines = [line for line in lines if len(line[0]) not in (1, 2, size)]
        streams.append(lines[1:] if watch in ('first', 'whole_last') else lines)  # initialisation
    assert len(streams) == (1 if watch in ('one_last', 'whole_last') else 2)
    start = {'first': 0, 'whole_last': 0}.get(watch)
    if start is None:  # the first step is one that was saved before
        start = next(
            step
            for step in range(elastic.steps)
            if set(streams[0][0][0]) <= set(batch_indices(0, step, ROWS, size).tolist())
        )
        assert start > 0
    seen = defaultdict(list)
    for stream in streams:
        for step, (indices, digests) in enumerate(stream, start):
            seen[step].append((indices, digests))
    whole = [step for step in seen if len(seen[step]) == len(streams)]
    assert len(whole) >= 2
    for step in whole:
        expected = batch_indices(0, step, ROWS, size).tolist()
        parts = [indices for indices, _ in seen[step]]
        if watch == 'second':  # the tensor axis goes through both, and so do all rows
            assert parts == [expected, expected]
        else:
            assert sorted(itertools.chain(*parts)) == sorted(expected)
            assert {len(part) for part in parts} == {ROWS // len(parts)}
        for indices, digests in seen[step]:
            assert digests == [tiny.digest(content[index]) for index in indices]


def test_what_is_wrong_for_all_is_said_once(processes, tmp_path):
    workdir = tmp_path / 'run'
    cases = [
        ({'mesh__data': 3}, 'config.mesh: data=3 x fsdp=1 x tensor=1 does not fit 2 device(s)'),
        ({'batch_size': 17, 'accumulate': 1}, 'does not divide over 2 devices'),
        ({'stepz': 3}, "no field 'stepz'; did you mean 'steps'?"),
    ]
    for number, (overrides, message) in enumerate(cases):
        log = tmp_path / f'log{number}'
        children = processes.start_together(2, arguments(workdir, **overrides), log)
        assert [processes.wait(child) for child in children] == [2, 2]
        lines = said(f'{log}.0') + said(f'{log}.1')
        assert len(lines) == 1 and message in lines[0], lines
        assert not workdir.exists()


@pytest.mark.full
def test_what_the_first_finds_wrong_ends_all(processes, train, workdir, tmp_path):
    assert train(steps=1)[0] == 0
    log = tmp_path / 'changed'
    children = processes.start_together(2, arguments(workdir, steps=4, seed=1), log)
    assert [processes.wait(child) for child in children] == [2, 2]
    (line,) = said(f'{log}.0') + said(f'{log}.1')
    assert 'config.seed is 1, but the run' in line
    assert steps_saved(workdir) == [1]


@pytest.mark.full
def test_a_process_that_hangs_is_missed(processes, tmp_path):
    workdir, log = tmp_path / 'run', tmp_path / 'log'
    words = arguments(workdir, steps=100_000, checkpoint_every=0)
    children = processes.start_together(2, words, log, heartbeat=2)
    deadline = time.monotonic() + 100
    while not (workdir / 'metrics.jsonl').exists() or not records(workdir):
        assert time.monotonic() < deadline, said(f'{log}.0')
        time.sleep(0.02)
    os.kill(children[1], signal.SIGSTOP)
    start = time.monotonic()
    assert processes.wait(children[0]) == EXIT_PEER
    assert 1.5 < time.monotonic() - start < 6
    os.kill(children[1], signal.SIGKILL)
    assert processes.wait(children[1]) == -signal.SIGKILL
    assert said(f'{log}.0')[-1] == (
        'genjax: process 1 of 2 has not answered for 2 seconds, which ends the run; the same'
        ' command resumes from what is saved'
    )


@dataclass(frozen=True)
class Device:
    number: int
    process_index: int


def local_rows(processes, shares):
    """The rows of 12 that the first process reads, where each device is of one of the `processes`
    and has one of the `shares`.
    """
    size = 12 // (1 + max(shares))
    parts = {
        Device(number, process): (slice(share * size, (share + 1) * size),)
        for number, (process, share) in enumerate(zip(processes, shares, strict=True))
    }
    mesh = SimpleNamespace(shape={'data': 3, 'tensor': 2})
    return distributed.local_rows(
        SimpleNamespace(devices_indices_map=lambda shape: parts, mesh=mesh), 12
    ).tolist()


def test_rows_follow_from_where_the_devices_are():
    assert local_rows([0, 0, 1, 1], [0, 1, 2, 3]) == [0, 1, 2, 3, 4, 5]
    assert local_rows([0, 1, 0, 1], [0, 1, 2, 3]) == [0, 1, 2, 6, 7, 8]
    assert local_rows([1, 0, 1, 0], [0, 3, 2, 1]) == [3, 4, 5, 9, 10, 11]
    # Two devices share the work on each row: in one process, and across two.
    assert local_rows([0, 0, 1, 1], [0, 0, 1, 1]) == [0, 1, 2, 3, 4, 5]
    assert local_rows([0, 1, 0, 1], [0, 0, 1, 1]) == list(range(12))
    with pytest.raises(UserError, match='processes 0 and 1 part of their rows in common'):
        local_rows([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2])
