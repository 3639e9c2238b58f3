"""What a user sees when something is wrong: one line, never a traceback."""

import contextlib
import difflib
import os
import re
import shlex
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: the run was saved; starting it again continues it
EXIT_PEER = 69  # EX_UNAVAILABLE: another process of the run is gone
EXIT_CTRL_C = 130  # 128 + SIGINT, as shells have it
EXIT_BUSY = 73  # EX_CANTCREAT: another process holds the folder


class UserError(Exception):
    """A mistake of the user. The message is one line: what, where, what to do."""


class RunLocked(UserError):
    """Another process holds the folder; what happens in it is that one's to tell."""


class CannotWrite(UserError):
    """What was computed cannot be kept: the disk is full, say."""


class Interrupted(Exception):
    """The run was stopped from outside and saved. The message says how to go on."""


class PeerLost(Exception):
    """Another process of the run is not there. The message says which."""


_LONGEST = 400  # characters of a message of a library

TRACEBACK = 'GENJAX_TRACEBACK'
"""The environment variable that has every error show its traceback as well."""

_OURS = Path(__file__).parent
_LIBRARY = Path(os.__file__).parent
_PACKAGES = {'site-packages', 'dist-packages'}

_COMMANDS = re.compile(
    '[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]'
)
_NO_MEMORY = (
    'out of memory{}: training needs less with a smaller config.batch_size, a larger'
    ' config.accumulate, remat of the network, config.mesh.fsdp over more devices, or'
    ' config.ema_on_host=true; evaluation with a smaller batch_size of the evaluator;'
    ' `genjax plan` shows what takes how much'
)


def exit_message(error: BaseException) -> tuple[str, int] | None:
    """The line to print for an error and the exit status; None for a defect of genjax, which keeps
    its traceback.
    """
    match error:
        case Interrupted():
            return f'genjax: {error}', EXIT_INTERRUPTED
        case PeerLost():
            return f'genjax: {error}', EXIT_PEER
        case KeyboardInterrupt():
            return '', EXIT_CTRL_C
        case Exception():
            status = EXIT_BUSY if isinstance(error, RunLocked) else 2
            line = line_of(error)
            return (f'genjax: error: {line}', status) if line else None
    return None


def line_of(error: Exception) -> str | None:
    """The line that tells a user of a mistake, of an exception in code of the user's own, or of
    what a device lacks; None for a defect of genjax.
    """
    line = _line_of(error)
    return line and plain(line)


def _line_of(error: Exception) -> str | None:
    if isinstance(error, UserError):
        return ' '.join(str(error).split())  # one line, also where it quotes several
    if isinstance(error, MemoryError):
        return f'{_NO_MEMORY.format("")}; data with in_memory=False'
    return _of_devices(str(error)) or of_user(error)


def plain(text: str) -> str:
    """Text that came from a file, in one line, without the characters that terminals and browsers
    take for commands (escape sequences, changes of direction) or that cannot be written.
    """
    return _COMMANDS.sub('\ufffd', ' '.join(re.split(r'[\t\n\r\u2028\u2029]+', text)))


def of_user(error: BaseException) -> str | None:
    """`file:line in function: Type: message` of an exception in code of the user's own, with the
    innermost line of that; None where there is none in its traceback.
    """
    own = [f for f in traceback.extract_tb(error.__traceback__) if is_users(f.filename)]
    if not own:
        return None
    frame = own[-1]
    function = '' if frame.name == '<module>' else f' in {frame.name}'
    where = location(frame.filename, frame.lineno) + function
    return f'{where}: {summary(error)} ({TRACEBACK}=1 shows it whole)'


@contextlib.contextmanager
def explaining(where: str) -> Iterator[None]:
    """Turns what libraries say of a mistake in a config into a line, which begins with `where`.

    Raises:
        UserError: in place of an exception that is neither of the user's own code nor has a line.
    """
    try:
        yield
    except Exception as error:
        if exit_message(error) is not None:
            raise
        message = f'{where}: {summary(error)} ({TRACEBACK}=1 shows where)'
        raise UserError(message) from error


def summary(error: BaseException) -> str:
    """Type and message of an exception, in one line of bearable length."""
    message = ' '.join(str(error).split())
    message = re.sub(r' \(https?://\S*\)| -{5,}.*', '', message)
    message = message if len(message) <= _LONGEST else message[:_LONGEST] + ' …'
    return f'{type(error).__name__}: {message}' if message else type(error).__name__


def location(file: str, line: int | None) -> str:
    """Returns the name of a line of a file, for messages."""
    relative = os.path.relpath(file)
    return f'{file if relative.startswith("..") else relative}:{line}'


def is_users(file: str) -> bool:
    """Returns whether a file is neither of genjax nor of an installed package."""
    path = Path(file)
    library = path.is_relative_to(_LIBRARY) or _PACKAGES & set(path.parts)
    return not (file.startswith('<') or library or path.is_relative_to(_OURS))


def _of_devices(message: str) -> str | None:
    """Returns the message of a runtime error about devices, for the user."""
    if 'RESOURCE_EXHAUSTED' in message:
        found = re.search(r'allocat\w* (?:of )?([\d.]+ ?(?:[KMGT]i?B|bytes))', message)
        return _NO_MEMORY.format(f' (for {found[1]} more)' if found else '')
    if 'Unable to initialize backend' in message:
        first = message.splitlines()[0]
        return f'{first} (JAX_PLATFORMS={os.environ.get("JAX_PLATFORMS", "")} asks for it)'
    return None


def how_to_install(extra: str) -> str:
    """The command that adds an optional part, such as 'ode', to the environment of genjax."""
    root = _OURS.parent
    script = root / 'launch' / 'local.sh'
    if not script.exists():
        return f"in a clone of genjax: pip install '.[{extra}]'"
    here = './launch/local.sh' if root == Path.cwd() else shlex.quote(str(script))
    folder = '.' if root == Path.cwd() else root
    return f"GENJAX_EXTRAS={extra} {here} --version, or pip install -e '{folder}[{extra}]'"


def nearest(word: str, options: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the option closest to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f'; did you mean {matches[0]!r}?' if matches else ''


def described(value: Any) -> str:
    """A value as messages name it: its type and shape, and the keys of a dict."""
    if shape_of(value) is not None and hasattr(value, 'dtype'):
        return f'{value.dtype}{list(value.shape)}'
    if isinstance(value, Mapping):
        return f'{{{", ".join(f"{name!r}: {described(v)}" for name, v in value.items())}}}'
    if isinstance(value, tuple | list):
        return f'a {type(value).__name__} of {len(value)}'
    if value is None or isinstance(value, int | float | str):
        return repr(value)
    return f'a {type(value).__name__}'


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of an array or number; None for anything else."""
    if isinstance(value, bool | int | float):
        return ()
    shape = getattr(value, 'shape', None)
    return shape if isinstance(shape, tuple) else None
