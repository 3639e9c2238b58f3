"""Multi-process runs: joint start and end, work for process 0 only, local rows of a batch.

In a single-process run, the functions do the work directly.
"""

import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import NamedSharding

from genjax.errors import EXIT_INTERRUPTED, UserError, exit_message
from genjax.parallel.cluster import ProcessInfo
from genjax.parallel.coordination import Worker
from genjax.parallel.preemption import Preemption

T = TypeVar('T')

_peer: Worker | None = None


@contextlib.contextmanager
def together(
    place: ProcessInfo | None,
    interruption: Preemption | None = None,
    *,
    heartbeat: float = 100.0,
    timeout: float = 300.0,
) -> Iterator[None]:
    """Context in which JAX uses the devices of all processes. Enter it before any array is created.

    On a normal exit, each process waits for the others. If one fails, is preempted or is lost, all
    processes end with one error message and the same exit status; the context manager never
    returns.

    Args:
        place: index of this process and address of the coordinator; None: a single process.
        interruption: preemption handler, shared by all processes.
        heartbeat: seconds of silence after which a process counts as lost.
        timeout: seconds to wait for all processes.

    Raises:
        PeerLost: some processes did not connect.
        UserError: the processes disagree on their number.
        Interrupted: a process was preempted while connecting.
    """
    global _peer
    if place is None:
        yield
        return
    peer = Worker(place, timeout, heartbeat, interruption)
    try:
        _initialize(place, peer.port, heartbeat)
        _peer = peer
        yield
        peer.finish()
    except BaseException as error:
        _fail(peer, error, interruption)
    _peer = None
    jax.distributed.shutdown()


def _initialize(place: ProcessInfo, port: int, heartbeat: float) -> None:
    # JAX's handler of SIGTERM would replace ours.
    jax.config.update('jax_enable_preemption_service', False)
    host = place.coordinator.rpartition(':')[0]
    jax.distributed.initialize(
        f'{host}:{port}',
        place.count,
        place.index,
        local_device_ids=place.local_devices,
        cluster_detection_method='deactivate',
        # Fallback only: our own heartbeat fires first.
        heartbeat_timeout_seconds=int(2 * heartbeat) + 10,
    )
    jax.devices()  # collective call: do it before anything can block on a peer


def _fail(peer: Worker, error: BaseException, interruption: Preemption | None) -> None:
    """Ends all processes; never returns."""
    if isinstance(error, GeneratorExit):  # a signal came between two context managers
        error = KeyboardInterrupt()
    if isinstance(error, KeyboardInterrupt) and interruption and interruption.reason:
        peer.fail(f'genjax: {interruption.line}', EXIT_INTERRUPTED)
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    broken = any(isinstance(cause, jax.errors.JaxRuntimeError) for cause in causes)
    known = exit_message(error)
    if known is None:
        text = ''.join(traceback.format_exception(error))
        known = (text, 1)
    peer.fail(*known, broken)


def is_first() -> bool:
    """Returns whether this process is process 0, the only one that writes files and prints."""
    return _peer is None or _peer.index == 0


def on_first(work: Callable[[], T]) -> T:
    """Runs `work` in process 0 and returns its result (a JSON value) in all processes.

    Collective: all processes must call it in the same order. They must not branch on files that
    process 0 may be writing.

    Raises:
        UserError: `work` raised it in process 0.
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
    """Runs `work` in process 0, then in the others, which find its files on disk. `work` must not
    depend on other processes.
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
