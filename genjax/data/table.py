"""Tables of the user: parquet, csv and tsv."""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from genjax.data import held_out, table_files
from genjax.data.array_store import RowWriter, stamp, stored
from genjax.data.class_labels import Classes
from genjax.data.encoded_images import EncodedImages, examine
from genjax.data.fitting import Fit, size_of
from genjax.data.held_out import PLACE, Splits
from genjax.data.own_data import Collection, Opened, OwnData, opened
from genjax.data.table_files import TableFiles
from genjax.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Table(OwnData):
    """Columns of parquet, csv or tsv files: `Table('data.parquet', x=('a', 'b'), label='y')`.

    x is float32 or, where all its columns are whole numbers, int32 [D]. One column of lists of
    numbers gives their shape. One column of encoded images (bytes, or Hugging Face's layout of
    them) gives uint8 [H, W, C]. A column of text is read by `Text`.

    Labels are names, or 0..K-1 without gaps; Hugging Face's names of classes are kept.

    Attributes:
        path: a file, a folder of files, or a pattern such as `'data/train-*.parquet'`; `{split}`
            stands for the name of a split.
        x: the column, or columns, of examples.
        label: the column of class labels, if there is one.
        context: the column, or columns, of conditions, numbers, if there are any.
        size: of images: height and width, or one number for both; None: all are of one size.
        crop: of images with a `size`: 'center' cuts off what the aspect ratio has too much;
            'stretch' distorts.
        channels: of images: 1 (grey), 3 (RGB) or 4 (RGBA); None: those of the first.
        splits: a share held out of the training rows, or a name that replaces `{split}`, for each
            split. Which rows a share holds out depends on their content alone.
        in_memory: read the columns into memory; False: stream them from a copy in genjax's cache.
        on_error: of images: 'raise' refuses those that cannot be read, and names them; 'skip'
            leaves them out, and a run records them.
    """

    path: str
    x: str | tuple[str, ...]
    label: str | None = None
    context: str | tuple[str, ...] | None = None
    size: int | tuple[int, int] | None = None
    crop: Literal['center', 'stretch'] = 'center'
    channels: Literal[1, 3, 4] | None = None
    splits: Splits = field(default_factory=held_out.tenths, hash=False)
    in_memory: bool = True
    on_error: Literal['raise', 'skip'] = 'raise'

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    FREE: ClassVar[tuple[str, ...]] = ('in_memory',)

    def __post_init__(self):
        held_out.check(self.splits, self.path)

    @property
    def _opened(self) -> Opened:
        return _open(self, os.getcwd())


@functools.lru_cache(maxsize=4)
def _open(table: Table, folder: str) -> Opened:
    del folder  # part of the cache key only: the path may be relative
    columns = {
        name: (value,) if isinstance(value, str) else tuple(value)
        for name in ('x', 'label', 'context')
        if (value := getattr(table, name)) is not None
    }
    fit: list[Fit] = []  # of the training images, for the others too

    def read(split: str) -> Collection:
        files = TableFiles.at(table.path.replace(PLACE, split))
        files.check([name for names in columns.values() for name in names])
        kind = files.schema().field(columns['x'][0]).type
        if table_files.is_text(kind):
            raise UserError(
                f'{columns["x"][0]!r} of {files.where} is text: '
                f'Text({table.path!r}, column={columns["x"][0]!r}) reads it'
            )
        read_images = table_files.is_encoded(kind)
        identity = ([stamp(path) for path in files.paths], columns)
        if table.in_memory:
            arrays = _parsed(files, columns, read_images)
        else:
            arrays = _mapped(files, columns, read_images, identity)
        names = files.class_names(table.label) if table.label else None
        classes = Classes(len(names), names) if names else None
        if not read_images:
            return Collection(arrays, files.where, identity, classes=classes)
        images = arrays.pop('x')
        if not fit:
            fit.append(_fit(table, images[0].as_py(), files.where))
        rows = [f'row {row}' for row in range(len(images))]
        found = examine(
            EncodedImages(lambda row: images[row].as_py() or b'', rows, fit[0]),
            identity,
            files.where,
            in_memory=table.in_memory,
            skip=table.on_error == 'skip',
        )
        arrays = {'x': found.x, **{name: array[found.rows] for name, array in arrays.items()}}
        return Collection(
            arrays, files.where, hashes=found.hashes, skipped=found.skipped, classes=classes
        )

    return opened(table.splits, read, table.in_memory)


Piece = dict[str, 'np.ndarray | pa.Array']


def _pieces(
    files: TableFiles, columns: Mapping[str, tuple[str, ...]], read_images: bool
) -> Iterator[Piece]:
    """Yields some rows at a time: labels [n], encoded images as Arrow arrays, and numbers [n, ...]
    of one type.
    """
    first, dtypes = 0, {}
    for batch in files.batches([name for names in columns.values() for name in names]):
        if not len(batch):
            continue
        piece: Piece = {}
        for name, keys in columns.items():
            parts = [batch.column(key) for key in keys]
            where = [f'{key!r} of {files.where}' for key in keys]
            if name == 'label':
                piece[name] = table_files.labels(parts[0], where[0], first)
            elif name == 'x' and read_images:
                piece[name] = table_files.encoded(parts[0])
                continue
            else:
                found = [
                    table_files.numbers(p, w, first) for p, w in zip(parts, where, strict=True)
                ]
                if len(found) > 1 and any(part.ndim > 1 for part in found):
                    raise UserError(f'{name}: columns of lists cannot be put beside others')
                piece[name] = np.stack(found, axis=1) if len(found) > 1 else found[0]
            kind = piece[name].dtype
            if dtypes.setdefault(name, kind.kind) != kind.kind:
                raise UserError(
                    f'{where[0]} is of another type from row {first} on ({kind}): store all files '
                    'with the same types'
                )
        first += len(batch)
        yield piece
    if not first:
        raise UserError(f'{files.where} has no rows')


def _parsed(
    files: TableFiles, columns: Mapping[str, tuple[str, ...]], read_images: bool
) -> dict[str, Any]:
    """Returns the columns in memory."""
    import pyarrow as pa

    pieces = list(_pieces(files, columns, read_images))
    return {
        name: pa.chunked_array([piece[name] for piece in pieces])
        if name == 'x' and read_images
        else np.concatenate([piece[name] for piece in pieces])
        for name in columns
    }


def _mapped(
    files: TableFiles, columns: Mapping[str, tuple[str, ...]], read_images: bool, identity: object
) -> dict[str, Any]:
    """Returns the columns memory-mapped, from a copy in the cache; labels in memory."""
    import pyarrow as pa

    def write(folder: Path) -> None:
        labels = []
        with contextlib.ExitStack() as stack:
            writers: dict[str, Any] = {}
            for piece in _pieces(files, columns, read_images):
                for name, rows in piece.items():
                    if name == 'label':
                        labels.append(rows)
                        continue
                    if isinstance(rows, pa.Array):
                        rows = pa.record_batch([rows], ['x'])
                    if name not in writers:
                        writers[name] = _writer(folder, name, rows, stack)
                    writers[name].write(rows)
            for writer in writers.values():
                writer.close()
        if labels:
            np.save(folder / 'label.npy', np.concatenate(labels))

    folder = stored('tables', identity, write)
    arrays = {path.stem: np.load(path, mmap_mode='r') for path in folder.glob('*.npy')}
    if read_images:
        arrays['x'] = pa.ipc.open_file(pa.memory_map(str(folder / 'x.arrow'))).read_all()['x']
    return arrays


def _writer(folder: Path, name: str, rows: Any, stack: contextlib.ExitStack) -> Any:
    """Returns what writes rows like these to a file."""
    import pyarrow as pa

    if isinstance(rows, pa.RecordBatch):
        return pa.ipc.new_file(str(folder / f'{name}.arrow'), rows.schema)
    file = stack.enter_context((folder / f'{name}.npy').open('wb'))
    return RowWriter(file, rows.shape[1:], rows.dtype)


def _fit(table: Table, first: bytes | None, where: str) -> Fit:
    """Returns how to decode the images of a table."""
    try:
        height, width, channels = size_of(first or b'')
    except ValueError as error:
        raise UserError(f'row 0 of {where}: {error}') from None
    channels = table.channels or channels
    if table.size is None:
        return Fit(height, width, channels, 'none')
    sides = table.size if isinstance(table.size, tuple) else (table.size, table.size)
    return Fit(*sides, channels, table.crop)
