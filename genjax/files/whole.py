"""Files and folders that are there whole or not at all, and files that grow.

Functions of a path that a bucket has to do by other means are `singledispatch`: `bucket` registers
those means.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from genjax.errors import UserError
from genjax.files.paths import explained, output


@functools.singledispatch
@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Writes `path` atomically: yields a temporary path on this machine, and renames it on exit.

    Creates the folder. A killed process leaves the temporary file (see `remove_unfinished`).

    Raises:
        UserError: writing failed; the temporary file is removed, and an older file stays.
    """
    output(str(path))
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file atomically; raises UserError if that fails."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + '\n')


@functools.singledispatch
@contextlib.contextmanager
def reading(path: Path) -> Iterator[Path]:
    """Yields the path on this machine of a file, for a library that reads no other: a temporary
    copy, if it is in a bucket.
    """
    yield path


@functools.singledispatch
@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Writes a new or empty folder atomically: yields a temporary one on this machine, and renames
    it on exit. (In a bucket its files appear one by one, in the order in which they were written.)

    Raises:
        UserError: the folder is not empty, or writing failed; nothing is left.
    """
    check_new_folder(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f'.{path.name}.', dir=path.parent) as temporary:
            folder = Path(temporary) / path.name
            folder.mkdir()
            yield folder
            folder.replace(path)


def check_new_folder(path: Path) -> None:
    """Raises UserError unless a folder can be written at the path: it is new, or empty."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f'--out={path}: a new or empty folder is needed')


@functools.singledispatch
@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[Path]:
    """Yields the path on this machine of a file that another process writes, created with its
    folder. (In a bucket the file appears on exit.)
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    yield path


class _Appending(io.BufferedWriter):
    """Writes at once, and the whole of what it is given."""

    def write(self, data: bytes) -> int:
        written = super().write(data)
        self.flush()
        return written


@functools.singledispatch
def appending(path: Path, header: bytes = b'') -> BinaryIO:
    """Opens a file that grows; its folder is created, and a new file begins with `header`.

    In a bucket the file is `path.000001`, `path.000002`, …, each with the header, and what was
    written in the last seconds is there after `flush`.

    Raises:
        OSError: it cannot be written; from a bucket CannotWrite, here and in `write`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _Appending(io.FileIO(path, 'a'))
    if not file.tell():
        file.write(header)
    return file


@functools.singledispatch
def committed(directory: Path) -> set[Path]:
    """Returns what Orbax has completed in a folder: it renames what it has written to its final
    name, and in a bucket, which has no renames, adds an object.
    """
    return {path for path in directory.glob('*') if '.orbax-checkpoint-tmp' not in path.name}


@functools.singledispatch
def digests(folder: Path) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yields the name of each file below a folder, and a function that returns a digest of its
    content, to be compared with an earlier one if that is given: the sha256, or in a bucket
    `md5 …`, which the store keeps.
    """
    for path in sorted(p for p in folder.glob('**/*') if p.is_file()):
        yield str(path.relative_to(folder)), functools.partial(digest, path)


def digest(path: Path, earlier: str = '') -> str:
    """Returns a digest of a file's content, of the same kind as an earlier one: sha256, as
    `sha256sum` prints it, or `md5 …`.
    """
    kind = 'md5' if earlier.startswith('md5 ') else 'sha256'
    with path.open('rb') as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    return f'md5 {found}' if kind == 'md5' else found


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, as `sha256sum` prints it."""
    return digest(path)


def remove_unfinished(folder: Path) -> None:
    """Removes temporary files of `replacing` that killed processes left in the folder and its
    direct subfolders. No other process may be writing there.
    """
    for temporary in (*folder.glob('.*.tmp'), *folder.glob('*/.*.tmp')):
        with contextlib.suppress(OSError):
            temporary.unlink()
