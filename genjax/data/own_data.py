"""Shared by the data sets that read the user's own files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from genjax.data import held_out
from genjax.data.array_store import StreamedSource, stored
from genjax.data.class_labels import Classes
from genjax.data.decoding import as_int32
from genjax.data.held_out import Portion, Splits
from genjax.data.sources import InMemorySource, Source
from genjax.errors import UserError, described


@dataclass(frozen=True)
class Opened:
    """The sources of all splits, and what they have in common.

    Attributes:
        sources: by split.
        event_shape: the shape of one x.
        classes: of the labels, or None.
        context_shape: the shape of one context, or None.
    """

    sources: Mapping[str, Source]
    event_shape: tuple[int, ...]
    classes: Classes | None = None
    context_shape: tuple[int, ...] | None = None


class OwnData:
    """A data set of files, which `_opened` opens once; it has a field `splits`."""

    splits: Splits
    _opened: Opened

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one x; the files must be there."""
        return self._opened.event_shape

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None without labels."""
        classes = self._opened.classes
        return classes.num if classes else None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, in the order of the labels; None if they have none."""
        classes = self._opened.classes
        return classes.names if classes else None

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """The shape of one context; None without contexts."""
        return self._opened.context_shape

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: there is no such split, or the files cannot be read.
        """
        held_out.chosen(split, self.splits)
        return self._opened.sources[split]


@dataclass(frozen=True)
class Collection:
    """Arrays [N, ...] as stored, before they are split.

    Attributes:
        arrays: `x` and, if there are any, `label` and `context`.
        where: what they are, for messages.
        identity: changes with the files; hashes of the rows are kept under it.
        hashes: hash of the content of each row, uint64 [N], that decides its split; None: those of
            the rows of `x` and `context`.
        skipped: reasons why examples are left out, by name.
        classes: of the labels, if they are declared; None: those that occur.
    """

    arrays: Mapping[str, np.ndarray]
    where: str
    identity: Any = None
    hashes: np.ndarray | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    classes: Classes | None = None


def opened(splits: Splits, read: Callable[[str], Collection], in_memory: bool) -> Opened:
    """Opens arrays as a data set.

    Args:
        splits: as in a data set.
        read: name of a collection -> its arrays, memory-mapped unless `in_memory`.
        in_memory: whether to read all rows now.

    Raises:
        UserError: a split has other shapes or classes than the training data.
    """
    portions = held_out.portions(splits)
    collections = {name: read(name) for name in {p.name: None for p in portions.values()}}
    train = collections[portions['train'].name]
    first = _first(train)
    classes = None
    if 'label' in train.arrays:
        classes = train.classes or Classes.of(train.arrays['label'], f'label of {train.where}')
    sources: dict[str, Source] = {}
    for name, collection in collections.items():
        labelled = _labelled(collection, classes)
        if (there := _first(collection)) != first:
            raise UserError(
                f'{collection.where} has {described(there)}, and {train.where} {described(first)}'
            )
        mine = {split: portion for split, portion in portions.items() if portion.name == name}
        rows = _rows(labelled, mine, keep=not in_memory)
        whole = _rows_of(labelled, slice(None)) if in_memory else {}
        for split in mine:
            if in_memory:
                source = InMemorySource({n: a[rows[split]] for n, a in whole.items()})
            else:
                source = StreamedSource(labelled.arrays, rows[split], batch_rows, labelled.where)
            source.skipped = collection.skipped
            sources[split] = source
    shapes = {name: one.shape for name, one in first.items()}
    return Opened(sources, shapes['x'], classes, shapes.get('context'))


def _first(collection: Collection) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shape and type of one x and one context."""
    some = _rows_of(collection, slice(1))
    some.pop('label', None)
    return {name: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for name, a in some.items()}


def _labelled(collection: Collection, classes: Classes | None) -> Collection:
    """Returns the collection with its labels as numbers."""
    arrays = dict(collection.arrays)
    if classes is not None:
        arrays['label'] = classes.labels(arrays['label'], f'label of {collection.where}')
    return replace(collection, arrays=arrays)


def _rows_of(collection: Collection, rows: slice) -> dict[str, np.ndarray]:
    return {name: batch_rows(name, array[rows]) for name, array in collection.arrays.items()}


def _rows(
    collection: Collection, portions: Mapping[str, Portion], keep: bool
) -> dict[str, np.ndarray]:
    """Returns the rows of each split."""
    arrays = [collection.arrays[name] for name in ('x', 'context') if name in collection.arrays]
    if all((portion.low, portion.high) == (0, 1) for portion in portions.values()):
        return {split: np.arange(len(arrays[0])) for split in portions}
    if collection.hashes is not None:
        hashes = collection.hashes
    elif keep:  # hashing reads the whole file
        folder = stored(
            'hashes',
            collection.identity,
            lambda folder: np.save(folder / 'hashes.npy', held_out.row_hashes(*arrays)),
        )
        hashes = np.load(folder / 'hashes.npy')
    else:
        hashes = held_out.row_hashes(*arrays)
    return {split: portion.rows(hashes) for split, portion in portions.items()}


def batch_rows(name: str, rows: np.ndarray) -> np.ndarray:
    """Returns rows of the array `name` in the types of a `Source`: x as uint8 (of uint8 and truth
    values), int32 (of other whole numbers) or float32, and context as float32. uint8 [N, H, W] are
    images [H, W, 1], and x [N] are rows of one number.
    """
    if name == 'label':
        return rows
    if name == 'context' or rows.dtype.kind == 'f':
        rows = rows.astype(np.float32, copy=False)
    elif rows.dtype in (np.uint8, np.bool_):
        rows = rows.astype(np.uint8, copy=False)
        rows = rows[..., None] if rows.ndim == 3 else rows
    else:
        try:
            rows = as_int32(rows)
        except ValueError as error:
            raise UserError(f'x: {error}') from None
    return rows[:, None] if rows.ndim == 1 else rows
