"""Columns of tables in files: parquet, csv and tsv."""

import contextlib
import glob
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genjax.errors import UserError, nearest
from genjax.files import local

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = ('.parquet', '.csv', '.tsv')
_ROWS = 8192  # rows read at a time; limits memory


@dataclass(frozen=True)
class TableFiles:
    """The files of one table.

    Attributes:
        where: the path as given, for messages.
        paths: the files, in the order of their rows.
    """

    where: str
    paths: tuple[Path, ...]

    @classmethod
    def at(cls, path: str) -> 'TableFiles':
        """Returns the files of a path: a file, a pattern with `*`, or a folder of files.

        Raises:
            UserError: there are none.
        """
        place = Path(local(path))
        if place.is_dir():
            found = sorted(p for p in place.iterdir() if p.suffix in SUFFIXES)
        else:
            found = [place] if place.is_file() else sorted(map(Path, glob.glob(str(place))))
        if not found:
            there = f'table ({", ".join(SUFFIXES)}) in the folder' if place.is_dir() else 'file'
            raise UserError(
                f'there is no {there} {path!r}: give its place with --config.dataset.path=…'
            )
        for file in found:
            if file.suffix not in SUFFIXES:
                raise UserError(f'{str(file)!r} is no table: {", ".join(SUFFIXES)} are read')
        return cls(path, tuple(found))

    def schema(self) -> 'pa.Schema':
        """Returns the names and types of the columns, those of the first file."""
        import pyarrow.parquet as pq

        with _explained(self.paths[0]):
            if self.paths[0].suffix == '.parquet':
                return pq.read_schema(self.paths[0])
            return _csv(self.paths[0], None).schema

    def batches(self, columns: Sequence[str]) -> Iterator['pa.RecordBatch']:
        """Yields some columns, a number of rows at a time; a csv is parsed whole."""
        import pyarrow.parquet as pq

        for path in self.paths:
            with _explained(path):
                if path.suffix == '.parquet':
                    with pq.ParquetFile(path) as file:
                        yield from file.iter_batches(_ROWS, columns=list(columns))
                else:
                    yield from _csv(path, columns).to_batches(_ROWS)

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Names of the classes, where Hugging Face's `datasets` has stored them."""
        stored = (self.schema().metadata or {}).get(b'huggingface')
        try:
            names = json.loads(stored or '{}')['info']['features'][column]['names']
        except (ValueError, LookupError, TypeError):
            return None
        return tuple(map(str, names))

    def check(self, columns: Sequence[str]) -> None:
        """Raises UserError if there is no such column."""
        there = self.schema().names
        for name in columns:
            if name not in there:
                raise UserError(
                    f'{name!r} is no column of {self.where}{nearest(name, there)}; it has '
                    f'{", ".join(there)}'
                )


def _csv(path: Path, columns: Sequence[str] | None) -> 'pa.Table':
    from pyarrow import csv

    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter='\t' if path.suffix == '.tsv' else ','),
        convert_options=csv.ConvertOptions(include_columns=columns),
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns an error of pyarrow into a line for the user."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(f'cannot read {path}: {str(error).splitlines()[0]}') from None


def is_text(kind: 'pa.DataType') -> bool:
    """Returns whether a column is text."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_encoded(kind: 'pa.DataType') -> bool:
    """Returns whether a column is of encoded images: bytes, or a struct of bytes and a path."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index('bytes') >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def encoded(column: 'pa.Array') -> 'pa.Array':
    """Returns the bytes of a column of encoded images."""
    import pyarrow as pa

    return column.field('bytes') if pa.types.is_struct(column.type) else column


def labels(column: 'pa.Array', where: str, first: int) -> np.ndarray:
    """Returns a column of class labels [n], numbers or text; arguments as `numbers`.

    Raises:
        UserError: a value is missing.
    """
    import pyarrow as pa

    _check_whole(column, where, first, 1)
    if is_text(column.type):
        return np.array(column.to_pylist(), str)
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        return column.to_numpy(zero_copy_only=False)
    raise UserError(f'{where} is {column.type}: labels are whole numbers, or text')


def numbers(column: 'pa.Array', where: str, first: int) -> np.ndarray:
    """Returns a column of numbers, or of lists of numbers of one length, as [n, ...].

    Args:
        column: some rows of the column.
        where: its name, for messages.
        first: number of its first row.

    Raises:
        UserError: it is none, or a value is missing.
    """
    import pyarrow as pa

    shape, rows = [len(column)], column
    while _is_list(column.type):
        _check_whole(column, where, first, math.prod(shape[1:]))
        inner = column.flatten()
        length, left = divmod(len(inner), max(1, len(column)))
        if left or not np.all(column.value_lengths().to_numpy(zero_copy_only=False) == length):
            raise UserError(f'the lists of {where} are not all of the same length')
        shape.append(length)
        column = inner
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise UserError(f'{where} is {rows.type}, not numbers')
    _check_whole(column, where, first, math.prod(shape[1:]))
    return column.to_numpy(zero_copy_only=False).reshape(shape)


def _is_list(kind: 'pa.DataType') -> bool:
    import pyarrow as pa

    return (
        pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)
    )


def _check_whole(column: 'pa.Array', where: str, first: int, each: int) -> None:
    """Raises UserError if a value is missing; `each`: values per row."""
    missing = np.flatnonzero(column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False))
    for place in missing[:1]:
        raise UserError(
            f'row {first + place // each} has no value in {where}: fill in or leave out what is '
            'missing'
        )
