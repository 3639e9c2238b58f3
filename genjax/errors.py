"""What a user sees when something is wrong: one line, never a traceback."""

import difflib
from collections.abc import Iterable

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: the run was saved; starting it again continues it
EXIT_PEER = 69  # EX_UNAVAILABLE: another process of the run is gone
EXIT_CTRL_C = 130  # 128 + SIGINT, as shells have it
EXIT_BUSY = 73  # EX_CANTCREAT: another process holds the folder


class UserError(Exception):
    """A mistake of the user. The message is one line: what, where, what to do."""


class Busy(UserError):
    """Another process holds the folder; what happens in it is that one's to tell."""


class CannotWrite(UserError):
    """What was computed cannot be kept: the disk is full, say."""


class Interrupted(Exception):
    """The run was stopped from outside and saved. The message says how to go on."""


class PeerGone(Exception):
    """Another process of the run is not there. The message says which."""


def told(error: BaseException) -> tuple[str, int] | None:
    """The line to print for an error and the exit status; None for a defect of genjax, which keeps
    its traceback.
    """
    match error:
        case UserError():
            message = ' '.join(str(error).split())  # one line, also where it quotes several
            status = EXIT_BUSY if isinstance(error, Busy) else 2
            return f'genjax: error: {message}', status
        case Interrupted():
            return f'genjax: {error}', EXIT_INTERRUPTED
        case PeerGone():
            return f'genjax: {error}', EXIT_PEER
        case KeyboardInterrupt():
            return '', EXIT_CTRL_C
    return None


def nearest(word: str, options: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the option closest to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f'; did you mean {matches[0]!r}?' if matches else ''
