"""Files of buckets, which have no locks, renames or appends."""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genjax.files import lease, locks, whole
from genjax.files.paths import explained
from genjax.files.segments import Segments
from genjax.files.store_path import StorePath


@locks.exclusive.register
@contextlib.contextmanager
def _exclusive(path: StorePath, busy: str | None = None) -> Iterator[tuple[int, ...]]:
    with lease.leased(path, busy):
        yield ()


@locks.check_owned.register
def _check_owned(path: StorePath) -> None:
    lease.check(path)


@whole.replacing.register
@contextlib.contextmanager
def _replacing(path: StorePath) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / path.name
        _upload(Path(folder) / path.name, path)


@whole.reading.register
@contextlib.contextmanager
def _reading(path: StorePath) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        path.copy_to(file)
        yield file


@whole.new_folder.register
@contextlib.contextmanager
def _new_folder(path: StorePath) -> Iterator[Path]:
    whole.check_new_folder(path)
    with explained(path), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / path.name
        folder.mkdir()
        yield folder
        files = [found for found in folder.glob('**/*') if found.is_file()]
        try:
            for file in sorted(files, key=lambda file: file.stat().st_mtime_ns):
                _upload(file, path / str(file.relative_to(folder)))
        except BaseException:
            with contextlib.suppress(Exception):  # the first error says more
                path.rmtree()
            raise


@whole.logging_to.register
@contextlib.contextmanager
def _logging_to(path: StorePath) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.touch()
        yield file
        _upload(file, path)


@whole.appending.register
def _appending(path: StorePath, header: bytes = b'') -> Segments:
    return Segments(path, header)


@whole.committed.register
def _committed(directory: StorePath) -> set[Path]:
    return {mark.parent for mark in directory.glob('*/commit_success.txt')}


@whole.digests.register
def _digests(folder: StorePath) -> Iterator[tuple[str, Callable[[str], str]]]:
    for name, found in folder.objects().items():
        yield name, functools.partial(_digest, folder / name, found)


def _digest(path: StorePath, found: dict[str, Any], earlier: str = '') -> str:
    if (not earlier or earlier.startswith('md5 ')) and (kept := path.md5(found)):
        return f'md5 {kept}'
    return whole.digest(path, earlier)


def _upload(file: Path, path: StorePath) -> None:
    lease.check(path)
    with explained(path):
        path.upload(file)
