"""Several processes, each with devices of its own, train as one would alone, and end together."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from genjax.data.pipeline import batch_indices
from genjax.errors import Interrupted, PeerGone, UserError
from genjax.places import Place, find_place
from genjax.training import distributed
from genjax.training.meeting import Line, meet
from tests.training import tiny
from tests.training.conftest import arguments, records, steps_saved
from tests.training.processes import free_port, said

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
        return statuses, time.monotonic() - start, said(f'{log}.{1 - who}')[-1]


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
            f'genjax: process {killed} of 2 is gone, and the run with it; the same command goes on'
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


def test_figures_and_samples_are_those_of_one_process(elastic, processes):
    figures = {
        name: json.loads((elastic.folder / name / f'evaluations/{elastic.steps}.json').read_text())
        for name in ('whole', 'one', 'two')
    }
    whole = figures['whole']['figures']
    assert {'likelihood/nll', 'mmd/mmd2'} <= whole.keys()
    for name in ('one', 'two'):
        for key, value in figures[name]['figures'].items():
            same = value == whole[key] if isinstance(value, str) else None
            assert same or value == pytest.approx(whole[key], rel=1e-5, abs=1e-7), key

    samples = {}
    for count in (1, 2):
        out = elastic.folder / f'{count}.npz'
        words = ['sample', f'--workdir={elastic.folder / "whole"}', '--num=300', f'--out={out}']
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
        lines = [line for line in lines if len(line[0]) > 1]  # one example tells the shapes
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


def test_what_the_first_finds_wrong_ends_all(processes, train, workdir, tmp_path):
    assert train(steps=1)[0] == 0
    log = tmp_path / 'changed'
    children = processes.start_together(2, arguments(workdir, steps=4, seed=1), log)
    assert [processes.wait(child) for child in children] == [2, 2]
    (line,) = said(f'{log}.0') + said(f'{log}.1')
    assert 'config.seed is 1, but the run' in line
    assert steps_saved(workdir) == [1]


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
        ' command goes on from what is saved'
    )


def together(*places, timeout=1.0):
    """What `meet` raises or returns in each of several processes, here threads."""
    outcomes = [None] * len(places)

    def one(number):
        try:
            outcomes[number] = meet(places[number], timeout)
        except (UserError, PeerGone, Interrupted) as error:
            outcomes[number] = str(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(places))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        if not isinstance(outcome, str):
            for line in (*outcome[0].values(), outcome[1]):
                if line:
                    line.socket.close()
    return outcomes


def test_all_meet_and_agree_on_a_port():
    address = f'localhost:{free_port()}'
    first, *others = together(*(Place(address, 3, index) for index in range(3)))
    assert sorted(first[0]) == [1, 2] and first[1] is None
    assert {other[2] for other in others} == {first[2]}


def test_one_that_never_comes_is_named():
    address = f'localhost:{free_port()}'
    lines = together(Place(address, 4, 0), Place(address, 4, 2))
    assert set(lines) == {f'processes 1, 3 of 4 did not come to {address} within 1 seconds'}


def test_nobody_there():
    address = f'localhost:{free_port()}'
    (line,) = together(Place(address, 2, 1))
    assert line == (
        f'process 1 of 2 found no process 0 at {address} within 1 seconds: Connection refused'
    )


@pytest.mark.parametrize(
    ('count', 'index', 'message'),
    [
        (3, 1, 'process 1 of 3 came to process 0 of 2'),
        (2, 0, 'cannot listen at port'),
        (3, 2, 'process 2 of 3 came to process 0 of 2'),
    ],
)
def test_processes_that_were_told_different_things(count, index, message):
    address = f'localhost:{free_port()}'
    assert any(
        message in line for line in together(Place(address, 2, 0), Place(address, count, index))
    )


def test_two_with_one_number():
    address = f'localhost:{free_port()}'
    places = [Place(address, 3, index) for index in (0, 1, 1)]
    lines = together(*places)
    assert all('there are two processes with the number 1' in line for line in lines)


def test_one_that_is_told_to_stop_as_they_meet_stops_the_others(monkeypatch):
    place = Place(f'localhost:{free_port()}', 4, 0)
    hear = Line.hear

    def hear_a_signal(line):
        if threading.current_thread().name == 'stopped':
            raise KeyboardInterrupt
        return hear(line)

    monkeypatch.setattr(Line, 'hear', hear_a_signal)

    def stop():
        with contextlib.suppress(KeyboardInterrupt):
            meet(replace(place, index=2), 5)

    threading.Timer(0.3, threading.Thread(target=stop, name='stopped').start).start()
    lines = together(place, replace(place, index=1), timeout=5)
    assert set(lines) == {'stopped at once; the same command goes on from what is saved'}


def test_one_that_was_started_anew_is_welcome():
    place = Place(f'localhost:{free_port()}', 3, 1)
    outcomes = []
    first = threading.Thread(target=lambda: outcomes.extend(together(replace(place, index=0))))
    first.start()
    deadline = time.monotonic() + 10
    while True:
        try:
            before = socket.create_connection(place.address)
            break
        except OSError:
            assert time.monotonic() < deadline
    before.sendall(json.dumps({'genjax': 1, 'count': 3}).encode() + b'\n')
    time.sleep(0.1)
    before.close()
    others = together(place, replace(place, index=2))
    first.join()
    assert sorted(outcomes[0][0]) == [1, 2] and {other[2] for other in others} == {outcomes[0][2]}


def place(**environment):
    return find_place(None, None, None, environment)


def test_a_process_finds_its_place():
    assert place() is None
    assert find_place('host:1234', 2, 1, {}) == Place('host:1234', 2, 1)
    assert find_place('host:1234', 1, 0, {}) is None
    kubernetes = {'JAX_COORDINATOR_ADDRESS': 'pod-0.run:8476', 'JAX_NUM_PROCESSES': '8'}
    assert place(**kubernetes, JOB_COMPLETION_INDEX='3') == Place('pod-0.run:8476', 8, 3)
    both = {'JOB_COMPLETION_INDEX': '3', 'JAX_PROCESS_ID': '7'}  # the third of a second slice
    assert place(**kubernetes, **both) == Place('pod-0.run:8476', 8, 7)
    slurm = {
        'SLURM_JOB_ID': '4099',
        'SLURM_NTASKS': '4',
        'SLURM_PROCID': '3',
        'SLURM_LOCALID': '1',
        'SLURM_STEP_NUM_NODES': '2',
        'SLURM_STEP_NODELIST': 'gpu[007-008],other',
    }
    assert place(**slurm) == Place('gpu007:61443', 4, 3, (1,))
    assert place(**slurm, CUDA_VISIBLE_DEVICES='2').local_devices is None  # its share already
    alone = {**slurm, 'SLURM_STEP_NUM_NODES': '4', 'SLURM_STEP_NODELIST': 'login,gpu[1-3]'}
    assert place(**alone) == Place('login:61443', 4, 3)
    assert place(**{**slurm, 'SLURM_NTASKS': '1', 'SLURM_PROCID': '0'}) is None
    # A batch script that starts no step is one process, whatever the job has.
    assert place(SLURM_JOB_ID='4099', SLURM_NTASKS='4', SLURM_PROCID='0') is None


def test_tpu_machines_are_known_by_their_environment(monkeypatch):
    from jax._src.clusters import cloud_tpu_cluster

    monkeypatch.setattr(cloud_tpu_cluster, 'running_in_cloud_tpu_vm', True)
    monkeypatch.setenv('TPU_WORKER_HOSTNAMES', 'localhost,localhost')
    monkeypatch.setenv('TPU_WORKER_ID', '1')
    slices = {'NUM_SLICES': '2', 'SLICE_ID': '1', 'COORDINATOR_ADDRESS': 'localhost'}
    for name, value in slices.items():
        monkeypatch.setenv(f'MEGASCALE_{name}', value)
    address = f'localhost:{cloud_tpu_cluster.coordinator_port}'
    assert place() == Place(address, 4, 3)
    monkeypatch.setenv('MEGASCALE_NUM_SLICES', '1')
    monkeypatch.setenv('MEGASCALE_SLICE_ID', '0')
    assert place() == Place(address, 2, 1)
    monkeypatch.setenv('TPU_WORKER_HOSTNAMES', 'localhost')
    assert place() is None


@pytest.mark.parametrize(
    ('coordinator', 'count', 'index', 'message'),
    [
        ('host:1', None, None, '--coordinator=host:1 needs --num_processes and --process_id'),
        (None, 2, 1, '--num_processes=2, --process_id=1 needs --coordinator as well'),
        ('host', 2, 1, '--coordinator=host is not of the form host:port'),
        ('host:1', 2, 2, '--process_id=2 is not one of 0..1'),
        ('host:1', -2, 0, '--num_processes=-2 is not a number of processes'),
    ],
)
def test_places_that_are_none(coordinator, count, index, message):
    with pytest.raises(UserError) as error:
        find_place(coordinator, count, index, {})
    assert message in str(error.value)
    with pytest.raises(UserError, match='needs JOB_COMPLETION_INDEX as well'):
        place(JAX_COORDINATOR_ADDRESS='host:1', JAX_NUM_PROCESSES='2')


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
