"""How the processes of a run meet: over a connection of each to the first of them.

JAX has a service of its own for this. It ends a process that misses another one with the stack
trace of a C++ thread, which does not say who is missing, and a signal does not get through to a
process that waits in it. So genjax's processes meet here first.
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

PATIENCE = 5.0  # seconds in which one that is there answers
_HELLO = 'genjax'
_REASONS = {'refused': UserError, 'gone': PeerLost, 'stopped': Interrupted}


class Connection:
    """Messages over a socket: one JSON object a line."""

    def __init__(self, connection: socket.socket):
        connection.settimeout(None)
        self.socket = connection
        self.heard = self._said = time.monotonic()
        self._rest = b''
        self._lock = threading.Lock()

    def say(self, **message: Any) -> None:
        """Sends a message; into the void when the other is gone, which `hear` will show."""
        try:
            with self._lock:
                self._said = time.monotonic()
                self.socket.sendall(json.dumps(message).encode() + b'\n')
        except OSError:
            pass

    def keep_alive(self, every: float) -> None:
        """Says something, if nothing was said for so many seconds."""
        if time.monotonic() - self._said > every:
            self.say()

    def hear(self) -> list[dict[str, Any]] | None:
        """The messages that have come, waiting for something to come; None: the other is gone."""
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
    """Waits until all processes are there.

    Args:
        place: of this process.
        timeout: seconds to wait.

    Returns:
        In the first process the lines to the others, by their indices, and None; in the others
        nothing and the line to the first. And a free port of the first process.

    Raises:
        PeerLost: some did not come.
        UserError: they disagree on how many they are.
        Interrupted: one of those that were there was told to stop.
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
    """What to tell the others when there will be no meeting."""
    kind = next((name for name, kind in _REASONS.items() if isinstance(error, kind)), 'stopped')
    return {kind: str(error) or 'stopped at once; the same command goes on from what is saved'}


def _raise_reason(message: dict[str, Any]) -> None:
    """Raises what the other said that it will not come to a meeting for, if it did."""
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
                    if messages is None:  # and may be started anew
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
        connection.close()  # some other program that tries doors
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
