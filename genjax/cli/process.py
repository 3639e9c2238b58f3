"""The process of a command: streams that cannot break it, signals while it starts, its end."""

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
    """Prepares the process: standard streams outlive their readers, and Ctrl-C in the middle of an
    import ends it, as extension modules do not survive an exception there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a standard stream was closed: no file of ours may take its place
    os.close(descriptor)
    sys.stdout, sys.stderr = map(_unbreakable, (sys.stdout, sys.stderr), (1, 2))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def lost_output() -> str | None:
    """Why part of the standard output is lost; None: it is not, or nobody reads it any more."""
    sys.stdout.flush()
    error = getattr(getattr(sys.stdout.buffer, 'raw', None), 'error', None)
    gone = isinstance(error, BrokenPipeError)
    return None if error is None or gone else error.strerror


def end(status: int) -> NoReturn:
    """Ends the process at once. After a failed save or an interruption, threads of the libraries
    may wait for ever, or abort, while the interpreter shuts down.
    """
    for child in multiprocessing.active_children():
        child.terminate()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class _Unbreakable(io.FileIO):
    """A stream that drops what cannot be written: the terminal or the pipe is closed, or the disk
    is full.
    """

    error: OSError | None = None

    def write(self, data: bytes) -> int | None:
        """Writes, or pretends to."""
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            self.error = error
            return len(data)


def _unbreakable(stream: io.TextIOWrapper | None, descriptor: int) -> io.TextIOWrapper:
    raw = _Unbreakable(descriptor, 'w', closefd=False)
    if stream is None:  # it was closed before the process began
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
