"""NumPy archives that are written part by part, so that memory does not grow with their length."""

import itertools
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO

import numpy as np


def write(file: IO[bytes], parts: Iterable[Mapping[str, np.ndarray]], num: int) -> None:
    """Writes the `.npz` that `np.savez` would make of the concatenated parts.

    The first array of a part goes to the file as it comes; the others, a number per example, are
    kept until the end.

    Args:
        file: a binary file, open for writing.
        parts: arrays by name, each [n, ...].
        num: the sum of all n.
    """
    others: dict[str, list[np.ndarray]] = {}
    with zipfile.ZipFile(file, 'w') as archive:
        parts = iter(parts)
        first = next(parts)
        name = next(iter(first))
        with archive.open(f'{name}.npy', 'w', force_zip64=True) as entry:
            for number, part in enumerate(itertools.chain([first], parts)):
                x = part[name]
                if number == 0:
                    shape = (num, *x.shape[1:])
                    header = {'descr': x.dtype.str, 'fortran_order': False, 'shape': shape}
                    np.lib.format.write_array_header_1_0(entry, header)
                entry.write(np.ascontiguousarray(x).data)
                for other in part.keys() - {name}:
                    others.setdefault(other, []).append(part[other])
        for other, pieces in others.items():
            with archive.open(f'{other}.npy', 'w') as entry:
                np.lib.format.write_array(entry, np.concatenate(pieces))
