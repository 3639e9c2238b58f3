"""Ctrl-C and SIGTERM: finish the step, save, and say how to go on."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from genjax.errors import Interrupted


class Interruption:
    """While active, SIGINT and SIGTERM end the work with `Interrupted`; inside of `noted` they are
    only noted, and a second Ctrl-C ends it.

    Attributes:
        reason: what came, or None.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.reason: str | None = None
        self._at_once = True

    def __enter__(self) -> 'Interruption':
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                f'{self.reason}: stopped at once; the same command goes on from what is saved'
            ) from None

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Leaves it to the code inside to look at `reason` and to stop when it has saved."""
        self._at_once = False
        try:
            yield
        finally:
            self._at_once = True

    def _note(self, number: int, _: FrameType | None) -> None:
        again, self.reason = self.reason, _NAMES[number]
        if self._at_once or (again and number == signal.SIGINT):
            raise KeyboardInterrupt  # not an Exception, which someone might handle on its way


_NAMES = {signal.SIGINT: 'Ctrl-C', signal.SIGTERM: 'SIGTERM'}
