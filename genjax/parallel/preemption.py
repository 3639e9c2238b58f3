"""Ctrl-C, SIGTERM and their like: the work ends at once where nothing would be lost by it, and
otherwise at the next point where it can be saved.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from genjax.errors import EXIT_INTERRUPTED, Interrupted

GRACE = 3.0  # seconds that a thread busy in compiled code has to come back

SIGNALS = {
    signal.SIGINT: 'Ctrl-C',
    signal.SIGTERM: 'SIGTERM',
    signal.SIGHUP: 'SIGHUP',  # the terminal or the connection is gone
    signal.SIGUSR1: 'SIGUSR1',  # Slurm's --signal
}
"""What ends the work, and what to call it."""

_active: 'Preemption | None' = None


class Stop(BaseException):
    """The work stops at this point. Not an Exception, which someone might handle on its way."""


def sync_point() -> None:
    """A place where long work can be abandoned: between the batches of an evaluation, say.

    Every process must come to the same points in the same order.

    Raises:
        Stop: something came that ends the run, and there are steps to be saved first.
    """
    if _active and not _active.at_once:
        _active.sync_point()


def came() -> bool:
    """Whether something came that ends the work: what fails after it may have been broken off."""
    return bool(_active and _active.reason)


def importing(frame: FrameType | None) -> bool:
    """Returns whether a module is being imported: an exception there may crash the libraries."""
    while frame:
        if frame.f_code.co_filename == '<frozen importlib._bootstrap>':
            return True
        frame = frame.f_back
    return False


class Preemption:
    """Ends the work, while active, on SIGINT, SIGTERM, SIGHUP (unless that was ignored before, as
    under `nohup`) and SIGUSR1.

    Before the first `sync_point` and after `saved` it raises `KeyboardInterrupt` at once, in
    between `Stop` at the next point. A second Ctrl-C does not wait.

    Where several processes work together, a signal to one of them is for all: `announce` tells the
    others, and whoever connects them has them stop at the same point with `pause` and `stop_after`.

    Attributes:
        reason: what came, or None.
        at_once: whether nothing would be lost by stopping now.
        announce: called with the reason, from a thread, where there are others to be told.
        leave: how to end the process, given a line and an exit status, when the main thread is
            inside compiled code and cannot be interrupted.
    """

    def __init__(self):
        self.reason: str | None = None
        self.at_once = True
        self.announce: Callable[[str], None] | None = None
        self.leave: Callable[[str, int], NoReturn] = _leave
        self._interrupts = 0  # how often Ctrl-C came
        self._points = 0  # that have been passed
        self._last: int | None = None  # the one after which to stop
        self._held = False
        self._now = False
        self._raised = False
        self._ended = threading.Event()
        self._changed = threading.Condition()  # its lock is one that a handler may take again

    def __enter__(self) -> 'Preemption':
        global _active
        self._outer, _active = _active, self
        self._previous = {
            number: signal.signal(number, self._handle)
            for number in SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        # The handlers run when the main thread comes back to Python, this thread at once.
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
        """From here on there is work to be saved; raises `Stop` when it is time to do so."""
        with self._changed:
            self.at_once = False
            self._pass()
            if self._last is not None and self._points > self._last:
                raise Stop

    def saved(self) -> None:
        """Everything is saved: signals end the work at once again. Raises `Stop` if one came."""
        with self._changed:
            self._pass()
            if self._last is not None:
                raise Stop
            self.at_once = True

    def pause(self) -> int:
        """Lets the main thread pass no further point; returns how many it has passed."""
        with self._changed:
            self._held = True
            return self._points

    def stop_after(self, points: int, reason: str) -> None:
        """Ends `pause`: the main thread stops when it has passed so many points.

        At once, that is, where no work needs saving and no process needs this one any more.
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
        """What to say of work that ends at once."""
        return f'{self.reason}: stopped at once; the same command goes on from what is saved'

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or SIGNALS[number]
        self._interrupts += number == signal.SIGINT
        if not self.announce:
            self._last = self._points  # also where the exception is lost, as in a destructor
            self._now = self.at_once
        if self._interrupts > 1 or (self._now and not self._raised):
            self._raised = True  # once: what is left behind then shall come to its end
            if importing(frame):
                self.leave(f'genjax: {self.line}', EXIT_INTERRUPTED)
            raise KeyboardInterrupt  # not an Exception either

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
