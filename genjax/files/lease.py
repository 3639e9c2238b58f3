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

from genjax.errors import RunLocked
from genjax.files.paths import explained
from genjax.files.store_path import StorePath

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
    """One lease. Writes are conditional on the object's version, so that one process wins."""

    def __init__(self, path: StorePath, busy: str):
        self.path, self.busy, self.ended = path, busy, threading.Event()
        self._id, self._count = uuid.uuid4().hex, 0
        self._version, self._renewed, self._other = '', 0.0, ''

    def acquire(self) -> str | None:
        """Takes the lease if it is free, expired, or of a process that is known to have ended.

        Returns:
            None, or the owner that renewed it while this process watched.
        """
        version, owner, ended = self._read()
        if version and not ended:
            if self.busy:
                print(
                    f'genjax: process {owner} holds {self.path}; waiting up to {EXPIRY:g} s to see'
                    ' whether it is alive',
                    file=sys.stderr,
                )
            seen, deadline = version, time.monotonic() + EXPIRY
            while version == seen and not ended and time.monotonic() < deadline:
                time.sleep(BEAT / 5)
                version, owner, ended = self._read()
            if version not in ('', seen):
                return owner
        if not self._write(version):
            return self._read()[1] or 'unknown'
        self.path.check_conditions()
        if version:
            _log.warning('process %s ended without releasing %s: taken over', owner, self.path)
        return None

    def beat(self) -> None:
        """Renews the lease until `ended`; a thread."""
        while not self.ended.wait(BEAT):
            try:
                if not self._write(self._version, patience=0):
                    self._other = self._read()[1] or 'unknown'
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
            version, found = self.path.fetch()
            if self._id.encode() in found:
                self.path.remove(version)

    def _write(self, version: str, patience: float | None = None) -> bool:
        """Writes the object if it has this version ('': if missing); returns whether it is this
        lease's.
        """
        began = time.monotonic()
        self._count += 1  # each renewal has another content, and so another version in any store
        content = json.dumps(
            {
                'owner': f'{os.getpid()} on {socket.gethostname()}',
                'id': self._id,
                'process': [_machine(), os.getpid()],
                'renewals': self._count,
            }
        ).encode()
        written = self.path.write(content, version, patience)
        if written is None:
            # A request whose answer was lost may have written: this one's first try, or an earlier
            # one, which is no renewal now.
            written, found = self.path.fetch()
            if self._id.encode() not in found:
                return False
            if found != content:
                return self._write(written, patience)
        self._version, self._renewed = written, began
        return True

    def _read(self) -> tuple[str, str, bool]:
        """Version of the object ('': missing), its owner, and whether that is known to have
        ended.
        """
        version, content = self.path.fetch()
        if not version:
            return '', '', False
        try:
            found = json.loads(content)
            return version, found['owner'], _has_ended(*found['process'])
        except (ValueError, LookupError, TypeError):
            return version, 'unknown', False


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
