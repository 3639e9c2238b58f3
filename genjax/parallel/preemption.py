"""Handles Ctrl-C, SIGTERM and other signals: ends at once if nothing would be lost, otherwise at
the next sync point.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from genjax.errors import EXIT_INTERRUPTED, Interrupted

GRACE = 3.0  # seconds for the main thread to return from compiled code

SIGNALS = {
    signal.SIGINT: 'Ctrl-C',
    signal.SIGTERM: 'SIGTERM',
    signal.SIGHUP: 'SIGHUP',  # the terminal or the connection is gone
    signal.SIGUSR1: 'SIGUSR1',  # Slurm's --signal
    signal.SIGALRM: '--max_time',
}
"""Handled signals and their names in messages."""

_active: 'Preemption | None' = None


class Stop(BaseException):
    """Stops the work at a sync point. Not an Exception, so that `except Exception` lets it pass."""


def sync_point() -> None:
    """Marks a point at which long work may be abandoned, e.g. between the batches of an evaluation.

    Every process must reach the same points in the same order.

    Raises:
        Stop: a stop was requested and there are unsaved steps.
    """
    if _active and not _active.at_once:
        _active.sync_point()


def came() -> bool:
    """True once a stop was requested; later errors may be its side effects."""
    return bool(_active and _active.reason)


def importing(frame: FrameType | None) -> bool:
    """Returns whether a module is being imported: an exception there may crash the libraries."""
    while frame:
        if frame.f_code.co_filename == '<frozen importlib._bootstrap>':
            return True
        frame = frame.f_back
    return False


class Preemption:
    """Handles SIGINT, SIGTERM, SIGHUP (unless ignored before, as under `nohup`), SIGUSR1 and
    SIGALRM while active.

    Before the first `sync_point` and after `saved`, a signal raises `KeyboardInterrupt` at once; in
    between, `Stop` at the next sync point. A second Ctrl-C raises at once.

    In multi-process runs, a signal to one process stops all: `announce` reports it, and the
    coordinator stops all processes at the same sync point with `pause` and `stop_after`.

    Attributes:
        reason: name of the first signal, or None.
        at_once: whether nothing would be lost by stopping now.
        announce: called with the reason, from a thread, in multi-process runs.
        leave: ends the process with a line and an exit status while the main thread is inside
            compiled code and cannot be interrupted.
    """

    def __init__(self):
        self.reason: str | None = None
        self.at_once = True
        self.announce: Callable[[str], None] | None = None
        self.leave: Callable[[str, int], NoReturn] = _leave
        self._interrupts = 0  # number of SIGINTs
        self._points = 0  # sync points passed
        self._last: int | None = None  # sync point after which to stop
        self._held = False
        self._now = False
        self._raised = False
        self._ended = threading.Event()
        self._changed = threading.Condition()  # its lock is reentrant: signal handlers may take it

    def __enter__(self) -> 'Preemption':
        global _active
        self._outer, _active = _active, self
        self._previous = {
            number: signal.signal(number, self._handle)
            for number in SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        # Handlers run once the main thread returns to Python; the listener thread runs at once.
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        self._previous_wakeup = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        global _active
        _active = self._outer
        self._ended.set()
        signal.set_wakeup_fd(self._previous_wakeup)
        os.write(self._woken, b'\0')
        self._listener.join()
        os.close(self._wake), os.close(self._woken)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if isinstance(error, KeyboardInterrupt) and self.reason:
            raise Interrupted(self.line) from None

    def sync_point(self) -> None:
        """Marks the work as unsaved; raises `Stop` if a stop is due at this point."""
        with self._changed:
            self.at_once = False
            self._pass()
            if self._last is not None and self._points > self._last:
                raise Stop

    def saved(self) -> None:
        """Marks all work as saved: signals end it at once again. Raises `Stop` if a stop was
        requested.
        """
        with self._changed:
            self._pass()
            if self._last is not None:
                raise Stop
            self.at_once = True

    def pause(self) -> int:
        """Blocks the main thread at its next sync point; returns the number of points passed."""
        with self._changed:
            self._held = True
            return self._points

    def stop_after(self, points: int, reason: str) -> None:
        """Ends `pause`: the main thread stops once it has passed `points` sync points.

        It stops at once if it has passed them and no work is unsaved.
        """
        with self._changed:
            self.reason = self.reason or reason
            self._last, self._held = points, False
            self._changed.notify_all()
            self._now = self.at_once and self._points >= points
        if self._now:
            os.kill(os.getpid(), signal.SIGTERM)

    def _pass(self) -> None:
        self._changed.wait_for(lambda: not self._held)
        self._points += 1

    @property
    def line(self) -> str:
        """Message for work that ended at once."""
        return f'{self.reason}: stopped at once; the same command resumes from what is saved'

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or SIGNALS[number]
        self._interrupts += number == signal.SIGINT
        if not self.announce:
            self._last = self._points  # also if the exception is swallowed, as in a destructor
            self._now = self.at_once
        if self._interrupts > 1 or (self._now and not self._raised):
            self._raised = True  # raise only once so that cleanup can finish
            if importing(frame):
                self.leave(f'genjax: {self.line}', EXIT_INTERRUPTED)
            raise KeyboardInterrupt  # like Stop, not an Exception

    def _listen(self) -> None:
        while number := os.read(self._wake, 1)[0]:
            if number not in self._previous:
                continue
            self.reason = self.reason or SIGNALS[number]
            if self.announce and not self._now:
                self.announce(self.reason)
            elif not self._ended.wait(GRACE) and self.at_once:
                self.leave(f'genjax: {self.line}', EXIT_INTERRUPTED)


def _leave(line: str, status: int) -> NoReturn:
    print(line, file=sys.stderr, flush=True)
    os._exit(status)
