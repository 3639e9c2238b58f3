"""Path checks, atomic writes, and folders locked by one process."""

import contextlib
import fcntl
import functools
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from genjax import stores
from genjax.errors import CannotWrite, RunLocked, UserError

_LOCK = '.lock'


def local(path: str) -> str:
    """Returns the path with `~` expanded.

    Raises:
        UserError: the path is a URL, such as `gs://bucket/run`, or the home folder is unknown.
    """
    if re.match(r'[A-Za-z][A-Za-z0-9+.-]+:/', str(path)):  # pathlib collapses the two slashes
        raise UserError(f'{path} is a URL: give a folder or file of this machine (or mount it)')
    expanded = os.path.expanduser(path)
    if expanded.startswith('~'):
        raise UserError(f'{path}: there is no such home folder; write the whole path')
    return expanded


def workdir(path: str) -> str:
    """Returns the path of a folder of this machine for checkpoints, checked.

    Raises:
        UserError: the path is a URL; or it, or a folder above it, has a character
            that Orbax would interpret as a glob pattern, which makes checkpoints unreadable.
    """
    path = local(path)
    whole = os.path.abspath(path)
    if found := re.search(r'[][*?\\]', whole):
        raise UserError(
            f'--workdir={path}: checkpoints cannot be read from a path with {found[0]!r} in it'
            f' ({whole}); rename the folder or choose another one'
        )
    return path


def run_folder(path: str) -> str:
    """Returns the path of a folder for checkpoints, here (`workdir`) or in a store (`as_path`)."""
    return str(as_path(path)) if stores.is_remote(path) else workdir(path)


def as_path(path: str | Path) -> Path:
    """Returns the path of a folder of this machine or, by `gs://…`, of a store.

    Raises:
        UserError: the libraries of the store are not installed, or the path cannot be one.
    """
    return stores.path(str(path)) if stores.is_remote(path) else Path(path)


def disk_full(error: Exception) -> bool:
    """Returns whether a library's error means that the disk or a quota is full."""
    full = ('No space left', 'RESOURCE_EXHAUSTED', 'Disk quota exceeded')
    return any(text in str(error) for text in full)


def output(path: str) -> str:
    """Returns the path of an output file; raises UserError if it is a folder, a device or a pipe,
    or its folder is not writable.
    """
    path = local(path)
    file = Path(path)
    with _explained(file):
        if file.exists() and not file.is_file():
            kind = 'a folder' if file.is_dir() else 'no regular file'
            raise UserError(f'cannot write {path}: it is {kind}')
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise CannotWrite(f'cannot write {path}: {folder} is not writable')
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Writes `path` atomically: yields a temporary path beside it, and renames it on exit.

    Creates the folder. A killed process leaves the temporary file (see `remove_unfinished`).

    Raises:
        UserError: writing failed; the temporary file is removed, and an older file stays.
    """
    if stores.is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / path.name
            stores.upload(Path(folder) / path.name, path)
        return
    output(str(path))
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def check_new_folder(path: Path) -> None:
    """Raises UserError unless a folder can be written at the path: it is new, or empty."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f'--out={path}: a new or empty folder is needed')


def digests(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yields the name of each file below a folder, and a function that returns a digest of its
    content: the sha256, or in a store the checksums that it keeps.
    """
    if stores.is_remote(folder):
        for name, digest in folder.digests():
            yield name, functools.partial(str, digest)
        return
    for path in sorted(p for p in folder.glob('**/*') if p.is_file()):
        yield str(path.relative_to(folder)), functools.partial(sha256, path)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, as `sha256sum` prints it."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Writes a new or empty folder atomically: yields a temporary one beside it, and renames it on
    exit.

    Raises:
        UserError: the folder is not empty, or writing failed; nothing is left.
    """
    check_new_folder(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f'.{path.name}.', dir=path.parent) as temporary:
            folder = Path(temporary) / path.name
            folder.mkdir()
            yield folder
            folder.replace(path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f'cannot write {path}: {error.strerror or error}') from error


def remove_unfinished(folder: Path) -> None:
    """Removes temporary files of `replacing` that killed processes left in the folder and its
    direct subfolders. No other process may be writing there.
    """
    for temporary in (*folder.glob('.*.tmp'), *folder.glob('*/.*.tmp')):
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file atomically; raises UserError if that fails."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + '\n')


@contextlib.contextmanager
def locked(folder: Path, kind: str, record: str, busy: str) -> Iterator[IO[str]]:
    """Creates the folder and locks it for this process.

    Yields the lock file. The lock is released when the process ends, however it ends, and all
    processes that inherited the descriptor have ended.

    Args:
        folder: the folder to lock, a --workdir.
        kind: kind of the folder, for messages.
        record: name of the file that marks a folder of this kind.
        busy: message if it is locked, with `{owner}` (process id) and `{folder}`.

    Raises:
        RunLocked: another process holds the lock; the folder is unchanged.
        UserError: the folder is of another kind or not writable; it is unchanged.
    """
    run_folder(folder)
    with contextlib.ExitStack() as stack:
        try:
            _refuse_foreign(folder, kind, record)
            refuse_links(folder)
            folder.mkdir(parents=True, exist_ok=True)
            busy = busy.replace('{folder}', str(folder))
            file = stack.enter_context(exclusive(folder / _LOCK, busy))
        except OSError as e:
            raise UserError(f'cannot write to --workdir={folder}: {e.strerror}') from None
        yield file


@contextlib.contextmanager
def exclusive(path: Path, busy: str | None = None) -> Iterator[IO[str]]:
    """Opens a lock file that one process holds at a time, until it ends, however it ends.

    Args:
        path: the file; created if it is not there.
        busy: message if another process holds it, with `{owner}` (process id); None: wait for it.

    Raises:
        RunLocked: another process holds it.
        OSError: the file cannot be opened.
    """
    if stores.is_remote(path):
        with stores.leased(path, busy):
            yield io.StringIO()  # there is no descriptor to inherit
        return
    with open(path, 'a+') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or 'unknown'
            raise RunLocked(busy.format(owner=owner)) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file


def refuse_links(folder: Path) -> None:
    """Refuses a folder that contains a symbolic link out of it: writing through it would change
    files outside the folder.

    Raises:
        UserError: naming the link.
    """
    whole = folder.resolve()
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() and not path.resolve().is_relative_to(whole):
            raise UserError(
                f'{path} is a link to {path.resolve()}, outside of the folder, and is not written'
                ' through: move what it leads to here, or keep the whole folder there'
            )


def _refuse_foreign(folder: Path, kind: str, record: str) -> None:
    """Refuses a non-empty folder without the record file, unless it holds only the leftovers of a
    start that was killed.
    """
    if not folder.is_dir() or (folder / record).exists():
        return
    names = sorted(path.name for path in folder.iterdir())
    others = [n for n in names if n != _LOCK and not n.startswith(f'.{record}.')]
    if others:
        raise UserError(
            f'{folder} is not the folder of a {kind} (it holds {others[0]!r} and no {record});'
            ' choose another --workdir'
        )
