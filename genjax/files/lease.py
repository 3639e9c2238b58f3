"""Leases, in place of locks: an object in a bucket that its owner rewrites every few seconds."""

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.api_core.exceptions import NotFound, PreconditionFailed

from genjax.errors import RunLocked
from genjax.files.paths import explained
from genjax.files.store_path import TIMEOUT, StorePath, patient

BEAT = 5.0  # seconds between renewals of a lease
EXPIRY = 60.0  # seconds without a renewal after which a lease may be taken over
_log = logging.getLogger('genjax')
_leases: list['_Lease'] = []


def check(path: StorePath) -> None:
    """Raises RunLocked if this process has lost a lease on a folder that contains the path."""
    for lease in tuple(_leases):
        if path.is_relative_to(lease.path.parent):
            lease.check()


@contextlib.contextmanager
def leased(path: StorePath, busy: str | None) -> Iterator[None]:
    """Holds a lease.

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

    def __init__(self, path: StorePath, busy: str):
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
                if not self._write(self._blob.generation, timeout=TIMEOUT, retry=None):
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
                self._blob.delete(if_generation_match=self._blob.generation, timeout=TIMEOUT)

    def _write(self, generation: int, **options: Any) -> bool:
        """Writes the object if it has this generation (0: if missing); returns whether it did."""
        began = time.monotonic()
        try:
            self._blob.upload_from_string(
                self._content, if_generation_match=generation, **(options or patient())
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
        blob = self.path.blob
        try:
            blob.reload(**patient())
            return blob, blob.download_as_text(**patient())
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
