"""Control messages between the processes of a run: each process is connected to process 0, which
coordinates.
"""

import os
import queue
import selectors
import socket
import sys
import threading
import time
from typing import Any, NoReturn

from genjax.errors import EXIT_INTERRUPTED, EXIT_PEER
from genjax.parallel.cluster import ProcessInfo
from genjax.parallel.preemption import Preemption
from genjax.parallel.rendezvous import PATIENCE, Connection, rendezvous


class Coordinator:
    """Runs in process 0: relays messages between all processes, itself included.

    It stops all processes at the same sync point when one is preempted, and ends all of them when
    one fails or is lost.
    """

    def __init__(self, lines: dict[int, Connection], heartbeat: float):
        self._lines = lines
        self._count = len(lines)
        self._heartbeat = heartbeat
        self._stopping: str | None = None
        self._points: dict[int, int] = {}
        self._failed: dict[int, dict[str, Any]] = {}
        self._failed_at = 0.0
        self._finished: set[int] = set()

    def run(self) -> None:
        """Serves until all processes have finished."""
        for line in self._lines.values():
            line.heard = time.monotonic()  # silent while the last connected
        with selectors.DefaultSelector() as selector:
            for index, line in self._lines.items():
                selector.register(line.socket, selectors.EVENT_READ, index)
            while self._stopping or len(self._finished) < self._count:
                for key, _ in selector.select(min(self._heartbeat / 4, 0.5)):
                    messages = self._lines[key.data].hear()
                    if messages is None:
                        return self._end_without(key.data, _gone(key.data, self._count))
                    for message in messages:
                        self._handle(key.data, message)
                for index, line in self._lines.items():
                    line.keep_alive(self._heartbeat / 4)
                    if time.monotonic() - line.heard > self._heartbeat:
                        text = _silent(index, self._count, self._heartbeat)
                        return self._end_without(index, text)
                if self._failed and self._is_verdict():
                    first, failure = min(self._failed.items())
                    who = f'process {first} of {self._count}: ' if first else ''
                    return self._end(who + failure['line'], failure['status'])
        self._tell_all(finish=True)

    def _handle(self, index: int, message: dict[str, Any]) -> None:
        if 'stop' in message and not self._stopping:
            self._stopping = message['stop']
            self._tell_all(hold=True)
        elif 'point' in message:
            self._points[index] = message['point']
            if len(self._points) == self._count:
                last = max(self._points.values())
                self._tell_all(stop_after=last, reason=self._stopping)
        elif 'value' in message:
            for other in self._lines.keys() - {index}:
                self._lines[other].say(value=message['value'])
        elif 'failed' in message:
            self._failed_at = self._failed_at or time.monotonic()
            self._failed[index] = message['failed']
        elif 'finished' in message:
            self._finished.add(index)

    def _is_verdict(self) -> bool:
        """Returns whether all failure reports are in, or the grace period is over.

        A mistake in the config fails in all processes. Preempted processes may still be saving. The
        loss of a process breaks collectives in all others; the heartbeat then identifies the lost
        one.
        """
        failures = self._failed.values()
        if len(failures) == self._count:
            return True
        patience = 1.0
        if all(failure['status'] == EXIT_INTERRUPTED for failure in failures):
            patience = PATIENCE
        elif any(failure['broken'] for failure in failures):
            patience = self._heartbeat + 1
        return time.monotonic() - self._failed_at > patience

    def _end_without(self, index: int, line: str) -> None:
        del self._lines[index]
        self._end(line, EXIT_PEER)

    def _end(self, line: str, status: int) -> None:
        """Ends all processes, this one last: it hosts JAX's coordination service, whose loss would
        crash the others.
        """
        others = [other for number, other in self._lines.items() if number]
        for other in others:
            other.say(end=status, line='')
        deadline = time.monotonic() + PATIENCE
        for other in others:
            other.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            while other.hear() is not None:
                pass
        self._lines[0].say(end=status, line=line)

    def _tell_all(self, **message: Any) -> None:
        for line in self._lines.values():
            line.say(**message)


class Worker:
    """Connection of a process to the coordinator.

    Attributes:
        index: index of this process.
        count: number of processes.
    """

    def __init__(
        self,
        place: ProcessInfo,
        timeout: float,
        heartbeat: float,
        interruption: Preemption | None,
    ):
        """Connects to the other processes; raises like `rendezvous`.

        Args:
            place: index of this process and address of the coordinator.
            timeout: seconds to wait for all processes.
            heartbeat: seconds of silence after which a process counts as lost.
            interruption: preemption handler; a signal to one process stops all of them.
        """
        self.index, self.count = place.index, place.count
        lines, line, self.port = rendezvous(place, timeout)
        if line is None:
            line, end = map(Connection, socket.socketpair())
            hub = Coordinator({0: end, **lines}, heartbeat)
            threading.Thread(target=hub.run, daemon=True).start()
        line.heard = time.monotonic()
        self._line = line
        self._heartbeat = heartbeat
        self._values: queue.SimpleQueue = queue.SimpleQueue()
        self._finished = threading.Event()
        self._interruption = interruption
        if interruption:
            interruption.announce = lambda reason: self._line.say(stop=reason)
            interruption.leave = self.fail
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def give(self, value: Any) -> None:
        """Broadcasts a JSON value from process 0 to the others."""
        self._line.say(value=value)

    def take(self) -> Any:
        """Waits for the next value broadcast by process 0."""
        while True:
            try:
                return self._values.get(timeout=0.5)  # short, so that signal handlers can run
            except queue.Empty:
                pass

    def finish(self) -> None:
        """Waits until all processes have finished."""
        self._line.say(finished=True)
        while not self._finished.wait(0.5):
            pass
        self._listener.join()
        self._line.socket.close()

    def fail(self, line: str, status: int, broken: bool = False) -> NoReturn:
        """Ends all processes with an exit status; process 0 prints the line.

        Args:
            line: the error message.
            status: the exit status.
            broken: whether the loss of another process may be the cause.
        """
        self._line.say(failed={'line': line, 'status': status, 'broken': broken})
        time.sleep(2 * PATIENCE + broken * (self._heartbeat + 1))
        _end(line, status)  # no answer from the coordinator

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._line.socket, selectors.EVENT_READ)
            while True:
                if selector.select(self._heartbeat / 4):
                    messages = self._line.hear()
                    if messages is None:
                        _end(_gone(0, self.count), EXIT_PEER)
                    for message in messages:
                        self._handle(message)
                    if self._finished.is_set():
                        return
                self._line.keep_alive(self._heartbeat / 4)
                if time.monotonic() - self._line.heard > self._heartbeat:
                    _end(_silent(0, self.count, self._heartbeat), EXIT_PEER)

    def _handle(self, message: dict[str, Any]) -> None:
        if 'hold' in message:
            self._line.say(point=self._interruption.pause() if self._interruption else 0)
        elif 'stop_after' in message and self._interruption:
            self._interruption.stop_after(message['stop_after'], message['reason'])
        elif 'value' in message:
            self._values.put(message['value'])
        elif 'end' in message:
            _end(message['line'], message['end'])
        elif 'finish' in message:
            self._finished.set()


def _end(line: str, status: int) -> NoReturn:
    """Ends this process at once, from any thread."""
    sys.stdout.flush()
    if line:
        print(line, file=sys.stderr, flush=True)
    os._exit(status)


def _gone(index: int, count: int) -> str:
    return (
        f'genjax: process {index} of {count} is gone, and the run with it;'
        ' the same command resumes from what is saved'
    )


def _silent(index: int, count: int, seconds: float) -> str:
    return (
        f'genjax: process {index} of {count} has not answered for {seconds:g} seconds, which ends'
        ' the run; the same command resumes from what is saved'
    )
