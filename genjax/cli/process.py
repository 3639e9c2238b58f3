"""Setup and end of a command's process: output streams that never fail, Ctrl-C during imports,
exit.
"""

import io
import logging
import multiprocessing
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from genjax.errors import EXIT_CTRL_C
from genjax.parallel.preemption import importing


def own() -> None:
    """Prepares the process: writing to a closed stream does not fail, and Ctrl-C during an import
    ends the process, since extension modules may crash on an exception there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a standard stream is closed: keep its descriptor from being reused
    os.close(descriptor)
    sys.stdout, sys.stderr = map(_unbreakable, (sys.stdout, sys.stderr), (1, 2))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def lost_output() -> str | None:
    """Returns why output to stdout was lost; None if it was not, or the reader closed the pipe."""
    sys.stdout.flush()
    error = getattr(getattr(sys.stdout.buffer, 'raw', None), 'error', None)
    gone = isinstance(error, BrokenPipeError)
    return None if error is None or gone else error.strerror


def end(status: int) -> NoReturn:
    """Ends the process at once. After a failed save or an interruption, threads of libraries may
    hang or abort during interpreter shutdown.
    """
    for child in multiprocessing.active_children():
        child.terminate()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class _Unbreakable(io.FileIO):
    """A stream that drops output it cannot write: the terminal or pipe is closed, or the disk is
    full.
    """

    error: OSError | None = None

    def write(self, data: bytes) -> int | None:
        """Writes; on failure, keeps the error and reports success."""
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            self.error = error
            return len(data)


def _unbreakable(stream: io.TextIOWrapper | None, descriptor: int) -> io.TextIOWrapper:
    raw = _Unbreakable(descriptor, 'w', closefd=False)
    if stream is None:  # closed before the process started
        return io.TextIOWrapper(io.BufferedWriter(raw), 'utf-8', 'backslashreplace')
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        stream.encoding,
        # An ASCII terminal shows β as \u03b2, as Python's own errors do.
        'backslashreplace' if stream.errors == 'strict' else stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _interrupt(_: int, frame: FrameType | None) -> None:
    if importing(frame):
        os._exit(EXIT_CTRL_C)
    raise KeyboardInterrupt
