"""Many processes as one: how they begin and end together, what only the first does, and who reads
which rows.

The functions here do the plain thing in a process that is alone.
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
    """Inside, JAX has the devices of all processes. To be entered before there is any array.

    The processes end together. When all leave, each waits for the others; when one fails, is told
    to stop or is gone, all end with one line and the same status, and nobody comes back from here.

    Args:
        place: of this process; None: it is alone.
        interruption: to be shared with the others.
        heartbeat: seconds without a word after which a process is taken for dead.
        timeout: seconds to wait for all to come.

    Raises:
        PeerLost: some did not come.
        UserError: they disagree on how many they are.
        Interrupted: one of those that were there was told to stop.
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
        # It is for us to notice who is missing; this is for when we do not.
        heartbeat_timeout_seconds=int(2 * heartbeat) + 10,
    )
    jax.devices()  # all take part in this: nobody shall wait for another before


def _fail(peer: Worker, error: BaseException, interruption: Preemption | None) -> None:
    """Ends all processes; none returns from here."""
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
