"""NumPy archives that are written part by part, so that memory does not grow with their length."""

import zipfile
from collections.abc import Iterable, Mapping
from typing import IO

import numpy as np

from genjax.errors import UserError


def write(
    file: IO[bytes], parts: Iterable[Mapping[str, np.ndarray]], num: int, dtype: str | None = None
) -> None:
    """Writes the `.npz` that `np.savez` would make of the concatenated parts.

    `x` goes to the file as it comes; the other arrays, a number per example, are kept until the
    end.

    Args:
        file: a binary file, open for writing.
        parts: arrays by name, `x` [n, *event] and others [n].
        num: the sum of all n.
        dtype: the type of the stored `x`, that of the parts when None. Values are rounded for
            'uint8'.

    Raises:
        UserError: `x` has values that 'uint8' does not hold; nothing may be kept of the file then.
    """
    others: dict[str, list[np.ndarray]] = {}
    with zipfile.ZipFile(file, 'w') as archive:
        with archive.open('x.npy', 'w', force_zip64=True) as entry:
            for number, part in enumerate(parts):
                x = part['x'] if dtype is None else _converted(part['x'], dtype)
                if number == 0:
                    shape = (num, *x.shape[1:])
                    header = {'descr': x.dtype.str, 'fortran_order': False, 'shape': shape}
                    np.lib.format.write_array_header_1_0(entry, header)
                entry.write(np.ascontiguousarray(x).data)
                for name in part.keys() - {'x'}:
                    others.setdefault(name, []).append(part[name])
        for name, pieces in others.items():
            with archive.open(f'{name}.npy', 'w') as entry:
                np.lib.format.write_array(entry, np.concatenate(pieces))


def _converted(x: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == 'uint8' and x.dtype != np.uint8:
        x = np.rint(x)
        if x.min() < 0 or x.max() > 255:
            raise UserError(
                f'samples from {x.min():g} to {x.max():g} are no bytes: leave out --dtype=uint8'
            )
    return x.astype(dtype)
