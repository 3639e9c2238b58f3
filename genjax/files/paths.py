"""Paths that commands and configs name: checked, of this machine or of a bucket."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genjax.errors import CannotWrite, UserError, how_to_install, of_store, summary

EXTRAS = {'gs://': 'gcs', 's3://': 's3'}
"""Extras that paths in buckets need, by their prefix."""


def is_remote(path: Any) -> bool:
    """Returns whether a path, or its text, is in a bucket."""
    return str(path).startswith(tuple(EXTRAS))


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


def anywhere(path: str) -> str:
    """Returns the path of a folder or file of this machine (`local`) or of a bucket (`as_path`)."""
    return str(as_path(path)) if is_remote(path) else local(path)


def workdir(path: str) -> str:
    """Returns the path of a folder for checkpoints, on this machine or in a bucket, checked.

    Raises:
        UserError: the path is another URL; or it, or a folder above it, has a character
            that Orbax would interpret as a glob pattern, which makes checkpoints unreadable.
    """
    path = anywhere(path)
    whole = absolute(path)
    if found := re.search(r'[][*?\\]', whole):
        raise UserError(
            f'--workdir={path}: checkpoints cannot be read from a path with {found[0]!r} in it'
            f' ({whole}); rename the folder or choose another one'
        )
    return path


def absolute(path: str) -> str:
    """Returns the path, checked like `anywhere`, independent of the current folder and without
    `..`.
    """
    if is_remote(path):
        store, _, name = path.partition('://')
        return anywhere(f'{store}://{os.path.normpath(name)}')
    return os.path.abspath(anywhere(path))


def as_path(path: str | Path) -> Path:
    """Returns the path of a folder or file of this machine or, by a prefix of `EXTRAS`, of a
    bucket.

    Raises:
        UserError: the libraries of the store are not installed, or the path cannot be one.
    """
    return _in_bucket(str(path)) if is_remote(path) else Path(path)


@functools.lru_cache
def _in_bucket(text: str) -> Path:
    prefix, extra = next(item for item in EXTRAS.items() if text.startswith(item[0]))
    name_of_bucket, _, name = text.removeprefix(prefix).strip('/').partition('/')
    if not (name_of_bucket.strip('.') and name):
        raise UserError(f'{text} names no folder of a bucket: {prefix}BUCKET/FOLDER')
    if found := re.search(r'[][*?\\]|//', name):
        raise UserError(f'{text}: {found[0]!r} cannot be in the name of a folder there')
    try:
        if extra == 'gcs':
            from genjax.files.gcs import GCSPath as StorePath
        else:
            from genjax.files.s3 import S3Path as StorePath
        from genjax.files import bucket  # noqa: F401, registers what buckets do by other means
    except ImportError:
        raise UserError(f'{prefix} needs the {extra} extra: {how_to_install(extra)}') from None
    return StorePath(text.rstrip('/'))


def disk_full(error: Exception) -> bool:
    """Returns whether a library's error means that the disk or a quota is full."""
    full = ('No space left', 'RESOURCE_EXHAUSTED', 'Disk quota exceeded')
    return any(text in str(error) for text in full)


def output(path: str) -> Path:
    """Returns the path of an output file, on this machine or in a bucket; raises UserError if it is
    a folder, a device or a pipe, or its folder is not writable.
    """
    file = as_path(anywhere(path))
    if is_remote(file):
        return file
    with explained(file):
        if file.exists() and not file.is_file():
            kind = 'a folder' if file.is_dir() else 'no regular file'
            raise UserError(f'cannot write {path}: it is {kind}')
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise CannotWrite(f'cannot write {path}: {folder} is not writable')
    return file


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns a failure to write, of the system or of a store, into a one-line error."""
    try:
        yield
    except Exception as error:
        if of_store(error):
            raise CannotWrite(f'cannot write {path}: {summary(error)}') from error
        if isinstance(error, OSError):
            raise CannotWrite(f'cannot write {path}: {error.strerror or error}') from error
        raise
