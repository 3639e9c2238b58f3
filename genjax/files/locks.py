"""Folders and files that one process owns."""

import contextlib
import fcntl
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from genjax.errors import RunLocked, UserError
from genjax.files.paths import workdir

_LOCK = '.lock'


@contextlib.contextmanager
def locked(folder: Path, kind: str, record: str, busy: str) -> Iterator[tuple[int, ...]]:
    """Creates the folder and locks it for this process.

    Yields the descriptors that hold the lock, none in a bucket. The lock is released when the
    process ends, however it ends, and all processes that inherited them have ended.

    Args:
        folder: the folder to lock, a --workdir.
        kind: kind of the folder, for messages.
        record: name of the file that marks a folder of this kind.
        busy: message if it is locked, with `{owner}` (process id) and `{folder}`.

    Raises:
        RunLocked: another process holds the lock; the folder is unchanged.
        UserError: the folder is of another kind or not writable; it is unchanged.
    """
    workdir(folder)
    with contextlib.ExitStack() as stack:
        try:
            _refuse_foreign(folder, kind, record)
            refuse_links(folder)
            folder.mkdir(parents=True, exist_ok=True)
            busy = busy.replace('{folder}', str(folder))
            held = stack.enter_context(exclusive(folder / _LOCK, busy))
        except OSError as e:
            raise UserError(f'cannot write to --workdir={folder}: {e.strerror or e}') from None
        yield held


@functools.singledispatch
@contextlib.contextmanager
def exclusive(path: Path, busy: str | None = None) -> Iterator[tuple[int, ...]]:
    """Opens a lock file that one process holds at a time, until it ends, however it ends; yields
    the descriptors that hold it. In a bucket it is a lease, which another process may take over
    once it has expired.

    Args:
        path: the file; created if it is not there.
        busy: message if another process holds it, with `{owner}` (process id); None: wait for it.

    Raises:
        RunLocked: another process holds it.
        OSError: the file cannot be opened.
    """
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
        yield (file.fileno(),)


@functools.singledispatch
def check_owned(path: Path) -> None:
    """Raises RunLocked if a lease of this process on a folder that contains the path is lost; locks
    on this machine cannot be lost.
    """


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
