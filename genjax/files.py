"""Which paths can be used; files that are there whole or not at all; folders that one process at a
time holds.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from genjax.errors import CannotWrite, RunLocked, UserError

_LOCK = '.lock'


def local(path: str) -> str:
    """Returns the path, with the home folder for `~`.

    Raises:
        UserError: it is a URL, such as `gs://bucket/run`; or there is no such home folder.
    """
    if re.match(r'[A-Za-z][A-Za-z0-9+.-]+:/', str(path)):  # pathlib makes one of two slashes
        raise UserError(f'{path} is a URL: give a folder or file of this machine (or mount it)')
    expanded = os.path.expanduser(path)
    if expanded.startswith('~'):
        raise UserError(f'{path}: there is no such home folder; write the whole path')
    return expanded


def workdir(path: str) -> str:
    """Returns the path of a folder for checkpoints.

    Raises:
        UserError: it is a URL; or it, or a folder above it, has a character that Orbax would take
            for a pattern, which makes checkpoints unreadable.
    """
    path = local(path)
    whole = os.path.abspath(path)
    if found := re.search(r'[][*?\\]', whole):
        raise UserError(
            f'--workdir={path}: checkpoints cannot be read from a path with {found[0]!r} in it'
            f' ({whole}); rename the folder or choose another one'
        )
    return path


def disk_full(error: Exception) -> bool:
    """Returns whether an error of some library means that the disk, or a quota, is full."""
    full = ('No space left', 'RESOURCE_EXHAUSTED', 'Disk quota exceeded')
    return any(text in str(error) for text in full)


def output(path: str) -> str:
    """Returns the path of a file to write; raises UserError where it is no file, but a folder, a
    device or a pipe, or lies in a folder that cannot be written.
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
    """Gives a temporary path beside `path`, whose folder is made, and renames it when all is
    written.

    A process that is killed meanwhile leaves the temporary (`remove_unfinished`).

    Raises:
        UserError: it cannot be written; nothing is left behind, and an older file stays.
    """
    output(str(path))
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f'cannot write {path}: {error.strerror or error}') from error


def remove_unfinished(folder: Path) -> None:
    """Removes what killed processes have left of files that they were writing with `replacing`, in
    the folder and in those directly in it; no other process may be writing there.
    """
    for temporary in (*folder.glob('.*.tmp'), *folder.glob('*/.*.tmp')):
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_json(path: Path, content: Any) -> None:
    """Writes the file whole or not at all; raises UserError when it cannot."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + '\n')


@contextlib.contextmanager
def locked(folder: Path, kind: str, record: str, busy: str) -> Iterator[IO[str]]:
    """Makes the folder and holds it alone.

    Gives the file that holds the lock: this ends with the process, however it ends, and with the
    last of those that inherit the descriptor.

    Args:
        folder: to be held, a --workdir.
        kind: what it is the folder of.
        record: the file that marks it as such.
        busy: what to say where it is held, with `{owner}` for the process and `{folder}`.

    Raises:
        RunLocked: another process holds it. Nothing in it has changed then.
        UserError: it holds something else, or it cannot be written. Nothing either.
    """
    workdir(folder)
    with contextlib.ExitStack() as stack:
        try:
            _refuse_foreign(folder, kind, record)
            refuse_links(folder)
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(folder / _LOCK, 'a+'))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip() or 'unknown'
                raise RunLocked(busy.format(owner=owner, folder=folder)) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError as e:
            raise UserError(f'cannot write to --workdir={folder}: {e.strerror}') from None
        yield file


def refuse_links(folder: Path) -> None:
    """Refuses a folder in which a file or folder is a link out of it: what is written there would
    change something else, which whoever made the folder has chosen.

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
    """Refuses a folder that holds anything but such a record, or what is left of its first
    moment.
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
