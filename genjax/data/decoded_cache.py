"""Decoded arrays in files, so that data are decoded once."""

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from genjax.errors import UserError


def check_memory(needed: int, what: str) -> None:
    """Raises UserError if so many bytes do not fit into the memory of this machine."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    if needed > 0.8 * memory:
        raise UserError(
            f'{what} takes {needed / 2**30:.0f} GiB decoded, and this machine has '
            f'{memory / 2**30:.0f}: set in_memory=False'
        )


def read_cache(path: Path, size: int, newest: float = 0.0) -> dict[str, np.ndarray] | None:
    """Returns arrays of `size` rows that `write_cache` has written since the time `newest`; None if
    there are none, or they are damaged.
    """
    try:
        if path.stat().st_mtime < newest:
            return None  # the records are newer
        # A zip archive: reading it checks its CRC.
        with path.open('rb') as file, np.load(file) as stored:
            arrays = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return arrays if max(map(len, arrays.values()), default=0) == size else None


def write_cache(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays atomically, if the folder can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix='incomplete.') as folder:
            temporary = Path(folder) / path.name
            np.savez(temporary, **arrays)
            os.replace(temporary, path)
    except OSError:
        pass  # a read-only or full disk: the next process decodes again
