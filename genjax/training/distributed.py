"""Many processes as one: how they find each other, what only the first does, and who reads which
rows.

The functions here do the plain thing in a process that is alone.
"""

import contextlib
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import NamedSharding

from genjax.errors import EXIT_INTERRUPTED, UserError, told
from genjax.interruption import Interruption
from genjax.training.meeting import Place
from genjax.training.peers import Peer

T = TypeVar('T')

_peer: Peer | None = None


def find_place(
    coordinator: str | None,
    count: int | None,
    index: int | None,
    environment: Mapping[str, str] = os.environ,
) -> Place | None:
    """Where this process stands: by what the user says, or else by the environment.

    The environment is that of Kubernetes and others who set JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID (or JOB_COMPLETION_INDEX, which an indexed job sets), of a
    Slurm step, or of a TPU VM.

    Args:
        coordinator: 'host:port' of process 0.
        count: of the processes.
        index: of this one.
        environment: where to look.

    Returns:
        The place; None for a process that is alone.

    Raises:
        UserError: part of it is missing, or is not what it should be.
    """
    given = {'--coordinator': coordinator, '--num_processes': count, '--process_id': index}
    if any(value is not None for value in given.values()):
        return _checked(given)
    if 'JAX_COORDINATOR_ADDRESS' in environment:
        number = 'JAX_PROCESS_ID' if 'JAX_PROCESS_ID' in environment else 'JOB_COMPLETION_INDEX'
        names = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', number)
        return _checked({name: environment.get(name) for name in names})
    if 'SLURM_STEP_NODELIST' in environment:
        return _slurm(environment)
    return _tpu()


def _checked(given: Mapping[str, str | int | None]) -> Place | None:
    """The place that three settings tell, by their names."""
    missing = [name for name, value in given.items() if value is None]
    if missing:
        known = ', '.join(f'{name}={value}' for name, value in given.items() if value is not None)
        raise UserError(f'{known} needs {" and ".join(missing)} as well')
    (address_name, address), (count_name, count), (index_name, index) = given.items()
    if not re.fullmatch(r'.+:\d{1,5}', str(address)):
        raise UserError(f'{address_name}={address} is not of the form host:port')
    for name, value in ((count_name, count), (index_name, index)):
        if not str(value).isdecimal():
            raise UserError(f'{name}={value} is not a number of processes')
    if not int(index) < int(count):
        raise UserError(f'{index_name}={index} is not one of 0..{int(count) - 1}')
    return Place(str(address), int(count), int(index)) if int(count) > 1 else None


def _slurm(environment: Mapping[str, str]) -> Place | None:
    count, index, local = (
        int(environment[f'SLURM_{name}']) for name in ('NTASKS', 'PROCID', 'LOCALID')
    )
    if count == 1:
        return None
    # 'node[07-09,12],other' begins with node07.
    name, number = re.match(r'([^,\[]+)(?:\[(\d+))?', environment['SLURM_STEP_NODELIST']).groups()
    port = 61440 + int(environment['SLURM_JOB_ID']) % 4096  # jobs that share a node have their own
    # A task that has a node to itself takes all of its accelerators, and one that was given its
    # share of them by Slurm sees no others.
    nodes = int(environment.get('SLURM_STEP_NUM_NODES', 1))
    visible = environment.get('CUDA_VISIBLE_DEVICES', '').split(',')
    alone = count == nodes or (len(visible) == 1 and visible != [''])
    return Place(f'{name}{number or ""}:{port}', count, index, None if alone else (local,))


def _tpu() -> Place | None:
    """By JAX's own knowledge of Google's machines, for which it has no public name."""
    from jax._src.clusters import cloud_tpu_cluster as tpu

    clusters = (tpu.GkeTpuCluster, tpu.GceTpuCluster)
    cluster = next((cluster for cluster in clusters if cluster.is_env_present()), None)
    if cluster is None or cluster.get_process_count() == 1:
        return None
    address = cluster.get_coordinator_address(300, None)
    return Place(address, cluster.get_process_count(), cluster.get_process_id())


@contextlib.contextmanager
def together(
    place: Place | None,
    interruption: Interruption | None = None,
    *,
    heartbeat: float = 100.0,
    timeout: float = 300.0,
) -> Iterator[None]:
    """Inside, JAX has the devices of all processes. To be entered before there is any array.

    The processes end together. When all leave, each waits for the others; when one fails, is told
    to stop or is gone, all end with one line and the same status, and nobody comes back from here.

    Args:
        place: of this process; None: it is alone.
        interruption: to be shared with the others.
        heartbeat: seconds without a word after which a process is taken for dead.
        timeout: seconds to wait for all to come.

    Raises:
        PeerGone: some did not come.
        UserError: they disagree on how many they are.
        Interrupted: one of those that were there was told to stop.
    """
    global _peer
    if place is None:
        yield
        return
    peer = Peer(place, timeout, heartbeat, interruption)
    try:
        _initialize(place, peer.port, heartbeat)
        _peer = peer
        yield
        peer.finish()
    except BaseException as error:
        _fail(peer, error, interruption)
    _peer = None
    jax.distributed.shutdown()


def _initialize(place: Place, port: int, heartbeat: float) -> None:
    # JAX's handler of SIGTERM would replace ours.
    jax.config.update('jax_enable_preemption_service', False)
    host = place.coordinator.rpartition(':')[0]
    jax.distributed.initialize(
        f'{host}:{port}',
        place.count,
        place.index,
        local_device_ids=place.local_devices,
        cluster_detection_method='deactivate',
        # It is for us to notice who is missing; this is for when we do not.
        heartbeat_timeout_seconds=int(2 * heartbeat) + 10,
    )
    jax.devices()  # all take part in this: nobody shall wait for another before


def _fail(peer: Peer, error: BaseException, interruption: Interruption | None) -> None:
    """Ends all processes; none returns from here."""
    if isinstance(error, GeneratorExit):  # a signal came between two context managers
        error = KeyboardInterrupt()
    if isinstance(error, KeyboardInterrupt) and interruption and interruption.reason:
        peer.fail(f'genjax: {interruption.line}', EXIT_INTERRUPTED)
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    broken = any(isinstance(cause, jax.errors.JaxRuntimeError) for cause in causes)
    known = told(error)
    if known is None:
        text = ''.join(traceback.format_exception(error))
        known = (text, 1)
    peer.fail(*known, broken)


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return _peer is None or _peer.index == 0


def on_first(work: Callable[[], T]) -> T:
    """Has the first process do something, and returns to all what it returns (as JSON has it).

    All processes must come here alike: what they decide on beforehand, they must not read from what
    the first may change meanwhile.

    Raises:
        UserError: it did there.
    """
    if _peer is None:
        return work()
    name = work.__qualname__
    if _peer.index:
        answer = _peer.take()
        if answer['name'] != name:
            raise RuntimeError(f'process 0 did {answer["name"]}, this one waits for {name}')
        if 'error' in answer:
            raise UserError(answer['error'])
        return answer['result']
    try:
        result = work()
    except UserError as error:
        _peer.give({'name': name, 'error': str(error)})
        raise
    _peer.give({'name': name, 'result': result})
    return result


def first_before_others(work: Callable[[], T]) -> T:
    """Has every process do something, the first before the others, who find on disk what it has
    made. It must need no other process for that.
    """
    results = []
    on_first(lambda: results.append(work()))
    return results[0] if results else work()


def local_rows(sharding: NamedSharding, size: int) -> np.ndarray:
    """The rows of a global batch of `size` that lie on this process's devices, ascending.

    Raises:
        UserError: the processes do not have equal shares, or shares that overlap in part.
    """
    shares: dict[int, set[tuple[int, int]]] = {}
    for device, index in sharding.devices_indices_map((size,)).items():
        start, stop, _ = index[0].indices(size)
        shares.setdefault(device.process_index, set()).add((start, stop))
    own = shares[jax.process_index()]
    for index, share in shares.items():
        if share != own and (share & own or len(share) != len(own)):
            raise UserError(
                f'config.mesh {dict(sharding.mesh.shape)} gives processes {jax.process_index()} and'
                f' {index} part of their rows in common: let config.mesh.tensor divide the devices'
                ' of a process, or be a multiple of them'
            )
    return np.concatenate([np.arange(*part) for part in sorted(own)])
