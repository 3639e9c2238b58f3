"""Errors shown to users: one line, no traceback."""

import contextlib
import difflib
import os
import re
import shlex
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: the run was saved; the same command resumes it
EXIT_PEER = 69  # EX_UNAVAILABLE: another process of the run was lost
EXIT_CTRL_C = 130  # 128 + SIGINT, as shells have it
EXIT_BUSY = 73  # EX_CANTCREAT: another process holds the lock of the folder


class UserError(Exception):
    """A mistake of the user. The message is one line: what, where, what to do."""


class RunLocked(UserError):
    """Another process holds the lock of the folder."""


class CannotWrite(UserError):
    """Results cannot be saved, e.g. because the disk is full."""


class Interrupted(Exception):
    """The run was stopped by a signal after saving. The message states how to resume it."""


class PeerLost(Exception):
    """Another process of the run is missing. The message names it."""


_LONGEST = 400  # characters of a library's message

TRACEBACK = 'GENJAX_TRACEBACK'
"""Environment variable that adds the traceback to every error."""

_OURS = Path(__file__).parent
_LIBRARY = Path(os.__file__).parent
_OF_STORES = ('aiohttp', 'botocore', 'gcsfs', 'google', 'requests', 's3fs', 'urllib3')
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
    """Returns the line to print for an error and the exit status; None for a bug in genjax, which
    keeps its traceback.
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
    """Returns the line for a user's mistake, an exception in user code or a device error; None for
    a bug in genjax.
    """
    line = _line_of(error)
    return line and plain(line)


def _line_of(error: Exception) -> str | None:
    if isinstance(error, UserError):
        return ' '.join(str(error).split())  # one line, even if it quotes several
    if isinstance(error, MemoryError):
        return f'{_NO_MEMORY.format("")}; data with in_memory=False'
    if of_store(error):
        return f'the store does not answer as it should: {summary(error)}'
    return _of_devices(str(error)) or of_user(error)


def of_store(error: BaseException) -> bool:
    """Returns whether an exception is of a library that talks to an object store, or raised there
    (PermissionError).
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = (
        type(error).__module__,
        *(frame.f_globals.get('__name__', '') for frame in frames[-1:]),
    )
    return any(module.partition('.')[0] in _OF_STORES for module in modules)


def plain(text: str) -> str:
    """Returns text from a file as one line, without control characters (escape sequences,
    bidirectional overrides) and lone surrogates.
    """
    return _COMMANDS.sub('\ufffd', ' '.join(re.split(r'[\t\n\r\u2028\u2029]+', text)))


def of_user(error: BaseException) -> str | None:
    """Returns `file:line in function: Type: message` for the innermost frame in user code; None if
    there is none in the traceback.
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
    """Turns a library's error about a config into a `UserError` with the prefix `where`.

    Raises:
        UserError: for an exception that has no line of its own (`exit_message`).
    """
    try:
        yield
    except Exception as error:
        if exit_message(error) is not None:
            raise
        message = f'{where}: {summary(error)} ({TRACEBACK}=1 shows where)'
        raise UserError(message) from error


def summary(error: BaseException) -> str:
    """Returns type and message of an exception in one line, truncated."""
    message = ' '.join(str(error).split())
    message = re.sub(r' \(https?://\S*\)| -{5,}.*', '', message)
    message = message if len(message) <= _LONGEST else message[:_LONGEST] + ' …'
    return f'{type(error).__name__}: {message}' if message else type(error).__name__


def location(file: str, line: int | None) -> str:
    """Returns 'file:line' for messages, relative to the current folder if inside it."""
    relative = os.path.relpath(file)
    return f'{file if relative.startswith("..") else relative}:{line}'


def is_users(file: str) -> bool:
    """Returns whether a file belongs neither to genjax nor to an installed package."""
    path = Path(file)
    library = path.is_relative_to(_LIBRARY) or _PACKAGES & set(path.parts)
    return not (file.startswith('<') or library or path.is_relative_to(_OURS))


def _of_devices(message: str) -> str | None:
    """Returns the user's message for a device error (out of memory, missing backend)."""
    if 'RESOURCE_EXHAUSTED' in message:
        found = re.search(r'allocat\w* (?:of )?([\d.]+ ?(?:[KMGT]i?B|bytes))', message)
        return _NO_MEMORY.format(f' (for {found[1]} more)' if found else '')
    if 'Unable to initialize backend' in message:
        first = message.splitlines()[0]
        return f'{first} (JAX_PLATFORMS={os.environ.get("JAX_PLATFORMS", "")} asks for it)'
    return None


def how_to_install(extra: str) -> str:
    """Returns the command that installs an optional extra, such as 'ode'."""
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
    """Describes a value for messages: dtype and shape, or the keys of a dict."""
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
    """Returns the shape of an array or number; None for anything else."""
    if isinstance(value, bool | int | float):
        return ()
    shape = getattr(value, 'shape', None)
    return shape if isinstance(shape, tuple) else None
