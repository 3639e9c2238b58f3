"""Several processes find each other before they train together."""

import contextlib
import json
import socket
import threading
import time
from dataclasses import replace

import pytest

from genjax.errors import Interrupted, PeerLost, UserError
from genjax.parallel.cluster import ProcessInfo, detect_cluster
from genjax.parallel.rendezvous import Connection, rendezvous
from tests.training.processes import free_port


def together(*places, timeout=1.0):
    """What `rendezvous` raises or returns in each of several processes, here threads."""
    outcomes = [None] * len(places)

    def one(number):
        try:
            outcomes[number] = rendezvous(places[number], timeout)
        except (UserError, PeerLost, Interrupted) as error:
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
    first, *others = together(*(ProcessInfo(address, 3, index) for index in range(3)))
    assert sorted(first[0]) == [1, 2] and first[1] is None
    assert {other[2] for other in others} == {first[2]}


def test_one_that_never_comes_is_named():
    address = f'localhost:{free_port()}'
    lines = together(ProcessInfo(address, 4, 0), ProcessInfo(address, 4, 2))
    assert set(lines) == {f'processes 1, 3 of 4 did not come to {address} within 1 seconds'}


def test_nobody_there():
    address = f'localhost:{free_port()}'
    (line,) = together(ProcessInfo(address, 2, 1))
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
        message in line
        for line in together(ProcessInfo(address, 2, 0), ProcessInfo(address, count, index))
    )


def test_two_with_one_number():
    address = f'localhost:{free_port()}'
    places = [ProcessInfo(address, 3, index) for index in (0, 1, 1)]
    lines = together(*places)
    assert all('there are two processes with the number 1' in line for line in lines)


def test_one_that_is_told_to_stop_as_they_meet_stops_the_others(monkeypatch):
    place = ProcessInfo(f'localhost:{free_port()}', 4, 0)
    hear = Connection.hear

    def hear_a_signal(line):
        if threading.current_thread().name == 'stopped':
            raise KeyboardInterrupt
        return hear(line)

    monkeypatch.setattr(Connection, 'hear', hear_a_signal)

    def stop():
        with contextlib.suppress(KeyboardInterrupt):
            rendezvous(replace(place, index=2), 5)

    threading.Timer(0.3, threading.Thread(target=stop, name='stopped').start).start()
    lines = together(place, replace(place, index=1), timeout=5)
    assert set(lines) == {'stopped at once; the same command resumes from what is saved'}


def test_one_that_was_started_anew_is_welcome():
    place = ProcessInfo(f'localhost:{free_port()}', 3, 1)
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
    return detect_cluster(None, None, None, environment)


def test_a_process_finds_its_place():
    assert place() is None
    assert detect_cluster('host:1234', 2, 1, {}) == ProcessInfo('host:1234', 2, 1)
    assert detect_cluster('host:1234', 1, 0, {}) is None
    kubernetes = {'JAX_COORDINATOR_ADDRESS': 'pod-0.run:8476', 'JAX_NUM_PROCESSES': '8'}
    assert place(**kubernetes, JOB_COMPLETION_INDEX='3') == ProcessInfo('pod-0.run:8476', 8, 3)
    both = {'JOB_COMPLETION_INDEX': '3', 'JAX_PROCESS_ID': '7'}  # the third of a second slice
    assert place(**kubernetes, **both) == ProcessInfo('pod-0.run:8476', 8, 7)
    slurm = {
        'SLURM_JOB_ID': '4099',
        'SLURM_NTASKS': '4',
        'SLURM_PROCID': '3',
        'SLURM_LOCALID': '1',
        'SLURM_STEP_NUM_NODES': '2',
        'SLURM_STEP_NODELIST': 'gpu[007-008],other',
    }
    assert place(**slurm) == ProcessInfo('gpu007:61443', 4, 3, (1,))
    assert place(**slurm, CUDA_VISIBLE_DEVICES='2').local_devices is None  # its share already
    alone = {**slurm, 'SLURM_STEP_NUM_NODES': '4', 'SLURM_STEP_NODELIST': 'login,gpu[1-3]'}
    assert place(**alone) == ProcessInfo('login:61443', 4, 3)
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
    assert place() == ProcessInfo(address, 4, 3)
    monkeypatch.setenv('MEGASCALE_NUM_SLICES', '1')
    monkeypatch.setenv('MEGASCALE_SLICE_ID', '0')
    assert place() == ProcessInfo(address, 2, 1)
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
        detect_cluster(coordinator, count, index, {})
    assert message in str(error.value)
    with pytest.raises(UserError, match='needs JOB_COMPLETION_INDEX as well'):
        place(JAX_COORDINATOR_ADDRESS='host:1', JAX_NUM_PROCESSES='2')
