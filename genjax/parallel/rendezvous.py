"""Connects the processes of a run: each opens a connection to process 0.

JAX's coordination service ends a process that misses a peer with a C++ stack trace that does not
name the peer, and blocks signals while it waits. genjax's processes therefore connect here first.
"""

import errno
import json
import selectors
import socket
import threading
import time
from typing import Any

from genjax.errors import Interrupted, PeerLost, UserError
from genjax.parallel.cluster import ProcessInfo

PATIENCE = 5.0  # seconds within which a live process answers
_HELLO = 'genjax'
_REASONS = {'refused': UserError, 'gone': PeerLost, 'stopped': Interrupted}


class Connection:
    """Messages over a socket, one JSON object per line."""

    def __init__(self, connection: socket.socket):
        connection.settimeout(None)
        self.socket = connection
        self.heard = self._said = time.monotonic()
        self._rest = b''
        self._lock = threading.Lock()

    def say(self, **message: Any) -> None:
        """Sends a message. A closed connection is ignored here and detected by `hear`."""
        try:
            with self._lock:
                self._said = time.monotonic()
                self.socket.sendall(json.dumps(message).encode() + b'\n')
        except OSError:
            pass

    def keep_alive(self, every: float) -> None:
        """Sends an empty message if nothing was sent for `every` seconds."""
        if time.monotonic() - self._said > every:
            self.say()

    def hear(self) -> list[dict[str, Any]] | None:
        """Waits for messages and returns them; None if the connection is closed."""
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b''
        if not data:
            return None
        self.heard = time.monotonic()
        *lines, self._rest = (self._rest + data).split(b'\n')
        return [json.loads(line) for line in lines]


def rendezvous(
    place: ProcessInfo, timeout: float
) -> tuple[dict[int, Connection], Connection | None, int]:
    """Waits until all processes are connected.

    Args:
        place: index of this process and address of the coordinator.
        timeout: seconds to wait.

    Returns:
        In process 0, the connections to the others by index, and None; in the others, an empty dict
        and the connection to process 0. In all, a free port on the host of process 0.

    Raises:
        PeerLost: some processes did not connect.
        UserError: the processes disagree on their number, or two share an index.
        Interrupted: a process was preempted while connecting.
    """
    deadline = time.monotonic() + timeout
    if place.index:
        line, port = _greet(place, timeout, deadline)
        return {}, line, port
    lines: dict[int, Connection] = {}
    try:
        _gather(place, lines, timeout, deadline)
    except BaseException as error:
        for line in lines.values():
            line.say(**_reason(error))
            line.socket.close()
        raise
    with socket.create_server(('', 0)) as free:
        port = free.getsockname()[1]
    for line in lines.values():
        line.say(welcome=_HELLO, port=port)
    return lines, None, port


def _reason(error: BaseException) -> dict[str, str]:
    """Message that tells the peers why the rendezvous failed."""
    kind = next((name for name, kind in _REASONS.items() if isinstance(error, kind)), 'stopped')
    return {kind: str(error) or 'stopped at once; the same command resumes from what is saved'}


def _raise_reason(message: dict[str, Any]) -> None:
    """Raises the failure that a peer reported, if any."""
    for name, kind in _REASONS.items():
        if name in message:
            raise kind(message[name])


def _gather(
    place: ProcessInfo, lines: dict[int, Connection], timeout: float, deadline: float
) -> None:
    port = place.address[1]
    try:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        server = socket.create_server(('', port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise UserError(f'process 0 cannot listen at port {port}: {error.strerror}') from None
    with server, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        while len(lines) < place.count - 1:
            ready = selector.select(max(deadline - time.monotonic(), 0.001))
            if not ready and time.monotonic() > deadline:
                missing = sorted(set(range(1, place.count)) - set(lines))
                raise PeerLost(
                    f'{_processes(missing)} of {place.count} did not come to'
                    f' {place.coordinator} within {timeout:g} seconds'
                )
            for key, _ in ready:
                if key.data is not None:
                    messages = lines[key.data].hear()
                    for message in messages or ():
                        _raise_reason(message)
                    if messages is None:  # lost; it may be restarted and connect again
                        selector.unregister(key.fileobj)
                        lines.pop(key.data).socket.close()
                elif hello := _hello(server.accept()[0]):
                    line, index = _checked(hello, lines, place)
                    lines[index] = line
                    selector.register(line.socket, selectors.EVENT_READ, index)


def _checked(
    hello: tuple[Connection, int, int], lines: dict[int, Connection], place: ProcessInfo
) -> tuple[Connection, int]:
    line, index, count = hello
    if count == place.count and 0 < index < count and index not in lines:
        return line, index
    text = f'process {index} of {count} came to process 0 of {place.count}'
    if index in lines or index == 0:
        text = f'there are two processes with the number {index}'
    error = UserError(f'{text}: give each its own number, and all the same count')
    line.say(**_reason(error))
    line.socket.close()
    raise error


def _hello(connection: socket.socket) -> tuple[Connection, int, int] | None:
    line = Connection(connection)
    connection.settimeout(PATIENCE)
    try:
        message, *others = line.hear() or ()
        connection.settimeout(None)
        for other in others:
            _raise_reason(other)
        return line, int(message[_HELLO]), int(message['count'])
    except (ValueError, KeyError, TypeError):
        connection.close()  # not a genjax process (e.g. a port scanner)
        return None
    except Interrupted:
        connection.close()
        raise


def _greet(place: ProcessInfo, timeout: float, deadline: float) -> tuple[Connection, int]:
    while True:
        try:
            line = Connection(socket.create_connection(place.address, timeout=PATIENCE))
            break
        except OSError as error:
            if time.monotonic() > deadline:
                why = error.strerror or errno.errorcode.get(error.errno or 0, 'no answer')
                raise PeerLost(
                    f'process {place.index} of {place.count} found no process 0 at'
                    f' {place.coordinator} within {timeout:g} seconds: {why}'
                ) from None
            time.sleep(0.1)
    try:
        line.say(**{_HELLO: place.index}, count=place.count)
        line.socket.settimeout(timeout + PATIENCE)
        (answer,) = line.hear() or [{'gone': f'process 0 at {place.coordinator} is gone'}]
        _raise_reason(answer)
        line.socket.settimeout(None)
        return line, int(answer['port'])
    except (ValueError, KeyError, TypeError):
        line.socket.close()
        raise UserError(f'what answers at {place.coordinator} is no run of genjax') from None
    except BaseException as error:
        line.say(**_reason(error))
        line.socket.close()
        raise


def _processes(indices: list[int]) -> str:
    names = ', '.join(map(str, indices))
    return f'process {names}' if len(indices) == 1 else f'processes {names}'
