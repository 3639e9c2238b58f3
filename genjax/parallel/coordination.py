"""What the processes of a run say to one another once they have met: each has a line to the first,
who passes on what concerns all.
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
    """Passes messages on, in the first process; it is connected to that one as to all others.

    It has all stop at one point when one is told to stop, and all end when one fails or is gone.
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
        """Until all have finished."""
        for line in self._lines.values():
            line.heard = time.monotonic()  # some have waited long for the last to come
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
        """Whether to wait no longer for what others have to say of a failure.

        What is wrong with a config, all will say. A run that is being saved may be saved by all. A
        computation that all take part in breaks for all when one is gone, who will be missed.
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
        """Ends all processes, this one last: with it JAX's service ends, which would end others."""
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
    """What one process has to do with the others.

    Attributes:
        index: its own.
        count: of all.
    """

    def __init__(
        self,
        place: ProcessInfo,
        timeout: float,
        heartbeat: float,
        interruption: Preemption | None,
    ):
        """Meets the others; raises like `rendezvous`.

        Args:
            place: of this process.
            timeout: seconds to wait for all to come.
            heartbeat: after so many seconds without a word a process is taken for dead.
            interruption: to be shared: all processes stop together when one of them is told to.
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
        """Sends a value (as JSON has it) to all others; only the first process does."""
        self._line.say(value=value)

    def take(self) -> Any:
        """The next value that the first process gives, when it does."""
        while True:
            try:
                return self._values.get(timeout=0.5)  # signals come through in between
            except queue.Empty:
                pass

    def finish(self) -> None:
        """Waits until all have done their work."""
        self._line.say(finished=True)
        while not self._finished.wait(0.5):
            pass
        self._listener.join()
        self._line.socket.close()

    def fail(self, line: str, status: int, broken: bool = False) -> NoReturn:
        """Ends all processes with a line, which the first of them prints, and an exit status.

        Args:
            line: what is wrong.
            status: the exit status.
            broken: it may be that others are the reason.
        """
        self._line.say(failed={'line': line, 'status': status, 'broken': broken})
        time.sleep(2 * PATIENCE + broken * (self._heartbeat + 1))
        _end(line, status)  # nobody answers

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
    """Ends this process from any thread, whatever the others are doing."""
    sys.stdout.flush()
    if line:
        print(line, file=sys.stderr, flush=True)
    os._exit(status)


def _gone(index: int, count: int) -> str:
    return (
        f'genjax: process {index} of {count} is gone, and the run with it;'
        ' the same command goes on from what is saved'
    )


def _silent(index: int, count: int, seconds: float) -> str:
    return (
        f'genjax: process {index} of {count} has not answered for {seconds:g} seconds, which ends'
        ' the run; the same command goes on from what is saved'
    )
