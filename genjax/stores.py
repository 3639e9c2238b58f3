"""Run folders on Google Cloud Storage, `gs://bucket/run`.

A store has neither locks, nor renames, nor appends. In their place: a lease on a folder, objects
that are written whole, and files that grow by segments.
"""

import contextlib
import json
import logging
import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genjax.errors import CannotWrite, RunLocked, UserError, how_to_install, of_store, summary

BEAT = 5.0  # seconds between renewals of a lease
EXPIRY = 60.0  # seconds without a renewal after which a lease may be taken over
ROLL = 1 << 20  # bytes of a segment
PATIENCE = 120.0  # seconds for which a request that fails is repeated
_INTERVAL = 5.0  # seconds between writes of a segment; a store takes one a second of an object
_TIMEOUT = 10.0  # seconds per request
_log = logging.getLogger('genjax')
_leases: list['_Lease'] = []


def is_remote(path: Any) -> bool:
    """Returns whether a path, or its text, is in a store."""
    return str(path).startswith('gs://')


def path(text: str) -> Path:
    """Returns the path of `gs://bucket/…`; raises UserError if the `gcs` extra is missing."""
    bucket, _, folder = text.removeprefix('gs://').strip('/').partition('/')
    if not (bucket and folder):
        raise UserError(f'{text} names no folder of a bucket: gs://BUCKET/FOLDER')
    if found := re.search(r'[][*?\\]|//', folder):
        raise UserError(f'{text}: {found[0]!r} cannot be in the name of a folder there')
    return _library().StorePath(text.rstrip('/'))


def _library() -> Any:
    try:
        import gcsfs  # noqa: F401

        from genjax import store_path
    except ImportError:
        raise UserError(f'gs:// needs the gcs extra: {how_to_install("gcs")}') from None
    return store_path


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the store's failure to write into a one-line error."""
    try:
        yield
    except Exception as error:
        if not of_store(error):
            raise
        raise CannotWrite(f'cannot write {path}: {summary(error)}') from error


def upload(file: Path, path: Path) -> None:
    """Writes the object of a path from a local file, whole or not at all.

    Raises:
        RunLocked: the lease on its folder was lost.
        CannotWrite: the store refused, or did not answer.
    """
    check(path)
    with explained(path):
        path.blob.upload_from_filename(str(file), **_patient())


def _patient() -> dict[str, Any]:
    """Options of a request that is repeated."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return {'timeout': _TIMEOUT, 'retry': DEFAULT_RETRY.with_timeout(PATIENCE)}


def check(path: Path) -> None:
    """Raises RunLocked if this process has lost a lease on a folder that contains the path."""
    for lease in tuple(_leases):
        if path.is_relative_to(lease.path.parent):
            lease.check()


@contextlib.contextmanager
def leased(path: Path, busy: str | None) -> Iterator[None]:
    """Holds a lease: an object that its owner rewrites every few seconds.

    Args:
        path: the object; its folder is what the lease protects (`check`).
        busy: message if another process holds it, with `{owner}`; None: wait for it.

    Raises:
        RunLocked: another process holds it, and renews it.
        CannotWrite: the store refused, or did not answer.
    """
    lease = _Lease(path, busy or '')
    with explained(path):
        while (owner := lease.acquire()) is not None:
            if busy is not None:
                raise RunLocked(busy.format(owner=owner))
    _leases.append(lease)
    beating = threading.Thread(target=lease.beat, name='genjax lease', daemon=True)
    beating.start()
    try:
        yield
    finally:
        _leases.remove(lease)
        lease.ended.set()
        beating.join()
        lease.release()


class _Lease:
    """One lease. Writes are conditional on the object's generation, so that one process wins."""

    def __init__(self, path: Path, busy: str):
        self.path, self.busy, self.ended = path, busy, threading.Event()
        self._blob, self._renewed, self._other = path.blob, 0.0, ''
        self._content = json.dumps(
            {
                'owner': f'{os.getpid()} on {socket.gethostname()}',
                'id': uuid.uuid4().hex,
                'process': [_machine(), os.getpid()],
            }
        )

    def acquire(self) -> str | None:
        """Takes the lease if it is free, expired, or of a process that is known to have ended.

        Returns:
            None, or the owner that renewed it while this process watched.
        """
        generation, owner, ended = self._read()
        if generation and not ended:
            if self.busy:
                print(
                    f'genjax: process {owner} holds {self.path}; waiting up to {EXPIRY:g} s to see'
                    ' whether it is alive',
                    file=sys.stderr,
                )
            seen, deadline = generation, time.monotonic() + EXPIRY
            while generation == seen and not ended and time.monotonic() < deadline:
                time.sleep(BEAT / 5)
                generation, owner, ended = self._read()
            if generation not in (0, seen):
                return owner
        if not self._write(generation):
            return self._read()[1] or 'unknown'
        if generation:
            _log.warning('process %s ended without releasing %s: taken over', owner, self.path)
        return None

    def beat(self) -> None:
        """Renews the lease until `ended`; a thread."""
        while not self.ended.wait(BEAT):
            try:
                if not self._write(self._blob.generation, timeout=_TIMEOUT, retry=None):
                    self._other = self._read()[1]
                    return
            except Exception as error:  # try again: `check` notices if it lasts
                _log.debug('%s: %s', self.path, error)

    def check(self) -> None:
        """Raises RunLocked if the lease was lost, or could not be renewed in time."""
        if self._other:
            raise RunLocked(
                f'{self.path} was taken over by process {self._other}; this one writes no more'
            )
        if time.monotonic() - self._renewed > EXPIRY:
            raise RunLocked(
                f'{self.path} could not be renewed for {EXPIRY:g} s, and another process may have'
                ' taken over; this one writes no more. The same command resumes'
            )

    def release(self) -> None:
        """Removes the object if it is still this lease's."""
        with contextlib.suppress(Exception):  # else it expires
            if not self._other and self._read()[0] == self._blob.generation:
                self._blob.delete(if_generation_match=self._blob.generation, timeout=_TIMEOUT)

    def _write(self, generation: int, **options: Any) -> bool:
        """Writes the object if it has this generation (0: if missing); returns whether it did."""
        from google.api_core.exceptions import PreconditionFailed

        began = time.monotonic()
        try:
            self._blob.upload_from_string(
                self._content, if_generation_match=generation, **(options or _patient())
            )
        except PreconditionFailed:
            # A request that is repeated because its answer was lost finds what it wrote itself.
            blob, content = self._fetch()
            if content != self._content:
                return False
            self._blob = blob
        self._renewed = began
        return True

    def _read(self) -> tuple[int, str, bool]:
        """Generation of the object (0: missing), its owner, and whether that is known to have
        ended.
        """
        blob, content = self._fetch()
        if content is None:
            return 0, '', False
        try:
            found = json.loads(content)
            return int(blob.generation), found['owner'], _has_ended(*found['process'])
        except (ValueError, LookupError, TypeError):
            return int(blob.generation), 'unknown', False

    def _fetch(self) -> tuple[Any, str | None]:
        """The object, and its content; None if it is missing."""
        from google.api_core.exceptions import NotFound

        blob = self.path.blob
        try:
            blob.reload(**_patient())
            return blob, blob.download_as_text(**_patient())
        except NotFound:
            return blob, None


def _machine() -> str:
    """Names what process ids are unique in; '' if unknown."""
    try:
        boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return f'{socket.gethostname()} {boot} {os.readlink("/proc/self/ns/pid")}'
    except OSError:
        return ''


def _has_ended(machine: str, process: int) -> bool:
    if not machine or machine != _machine():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


class Segments:
    """A growing file, as objects of at most about `ROLL` bytes, of which the last is rewritten."""

    def __init__(self, name: Callable[[int], Path], first: int = 0, header: bytes = b''):
        """`name` gives the path of segment number `first`, …; each begins with `header`."""
        self._name, self._number, self._header = name, first, header
        self._data, self._written, self._at = bytearray(header), len(header), -_INTERVAL

    def write(self, data: bytes | str) -> None:
        """Appends; the next write after some seconds, or `flush`, stores it."""
        self._data += data.encode() if isinstance(data, str) else data
        if time.monotonic() - self._at > _INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Stores all data; raises CannotWrite."""
        if len(self._data) == self._written:
            return
        path = self._name(self._number)
        check(path)
        with explained(path):
            path.blob.upload_from_string(bytes(self._data), **_patient())
        self._written, self._at = len(self._data), time.monotonic()
        if len(self._data) >= ROLL:
            self._number += 1
            self._data, self._written = bytearray(self._header), len(self._header)

    def close(self) -> None:
        """Stores all data."""
        self.flush()
