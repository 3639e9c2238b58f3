"""Files that grow, in a bucket: objects cannot be appended to."""

import time
from typing import Any

from genjax.files.lease import check
from genjax.files.paths import explained
from genjax.files.store_path import StorePath

ROLL = 1 << 20  # bytes of a segment
_INTERVAL = 5.0  # seconds between writes of a segment; a store takes one a second of an object


class Segments:
    """A growing file, as objects of at most about `ROLL` bytes, of which the last is rewritten."""

    def __init__(self, path: StorePath, header: bytes = b''):
        """Begins a new segment, `path.000001` or the first that is not there yet, with `header`."""
        before = [int(found.suffix[1:]) for found in path.parent.glob(f'{path.name}.[0-9]*')]
        self._path, self._number, self._header = path, max(before, default=0) + 1, header
        self._data, self._written, self._at = bytearray(header), len(header), -_INTERVAL

    def write(self, data: bytes) -> None:
        """Appends; the next write after some seconds, or `flush`, stores it."""
        self._data += data
        if time.monotonic() - self._at > _INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Stores all data; raises CannotWrite."""
        if len(self._data) == self._written:
            return
        path = self._path.with_name(f'{self._path.name}.{self._number:06}')
        check(path)
        with explained(path):
            path.write(bytes(self._data))
        self._written, self._at = len(self._data), time.monotonic()
        if len(self._data) >= ROLL:
            self._number += 1
            self._data, self._written = bytearray(self._header), len(self._header)

    def close(self) -> None:
        """Stores all data."""
        self.flush()

    def __enter__(self) -> 'Segments':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
