"""Arrays in files, read row by row through memory maps."""

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genjax.data.decoding import check_finite
from genjax.data.sources import sampled_fingerprint
from genjax.errors import CannotWrite


def cache_folder() -> Path:
    """Folder of what genjax makes of the user's data: $XDG_CACHE_HOME/genjax or ~/.cache/genjax."""
    home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    if home.startswith('~'):
        raise CannotWrite('there is no home folder for the cache: set XDG_CACHE_HOME')
    return Path(home) / 'genjax'


def stamp(path: Path) -> tuple[str, int, int]:
    """Returns what changes when a file does: its absolute path, size and time of change."""
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def stored(kind: str, identity: object, write: Callable[[Path], None]) -> Path:
    """Returns the folder in the cache with what `write(folder)` makes, which is called if it is not
    there yet. Processes may do this at once.

    Args:
        kind: name of the folder for this kind of content.
        identity: what the content depends on; its `repr` is hashed.
        write: fills an empty folder.

    Raises:
        CannotWrite: the folder cannot be written.
    """
    key = hashlib.sha256(repr(identity).encode()).hexdigest()[:24]
    folder = cache_folder() / kind / key
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='incomplete.', dir=folder.parent) as temporary:
            filled = Path(temporary) / 'filled'
            filled.mkdir()
            write(filled)
            try:
                os.rename(filled, folder)
            except OSError:
                if not folder.exists():  # another process was faster
                    raise
    except OSError as error:
        raise CannotWrite(
            f'cannot write to {cache_folder()}: {error.strerror or error} (XDG_CACHE_HOME names '
            'another place; in_memory=True needs none)'
        ) from error
    return folder


class RowWriter:
    """Writes an array [N, ...] to a .npy file row by row, in memory that does not grow with N."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype):
        self._file, self._shape, self._dtype, self._rows = file, shape, np.dtype(dtype), 0
        self._header()

    def write(self, rows: np.ndarray) -> None:
        """Appends rows [n, *shape]."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._rows += len(rows)

    def close(self) -> None:
        """Writes the number of rows into the header."""
        self._file.seek(0)
        self._header()  # as long as the first: NumPy leaves room for the first axis to grow

    def _header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                'descr': np.lib.format.dtype_to_descr(self._dtype),
                'fortran_order': False,
                'shape': (self._rows, *self._shape),
            },
        )


class StreamedSource:
    """A `Source` of arrays whose rows are read when they are needed, such as memory maps."""

    in_memory = False

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
        prepare: Callable[[str, np.ndarray], np.ndarray],
        where: str,
    ):
        """Makes a source of some rows.

        Args:
            arrays: the arrays [N, ...] by name.
            rows: the rows of this split.
            prepare: maps a name and rows as stored to those of a batch.
            where: what they are, for messages.
        """
        self._arrays, self._rows, self._prepare, self._where = arrays, rows, prepare, where

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        rows = self._rows[indices]
        batch = {name: self._prepare(name, array[rows]) for name, array in self._arrays.items()}
        check_finite(batch['x'], rows, self._where)
        return batch

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of the size and of 256 examples."""
        return sampled_fingerprint(self)
