"""Random access to the decoded examples of one split, in memory or in record files."""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from genjax.data.decoded_cache import check_memory, read_cache, write_cache
from genjax.data.decoding import as_int32, check_finite, decode, spread
from genjax.errors import UserError

_CHUNK = 1024  # examples decoded at a time; limits memory
_CACHE_VERSION = 2  # raise when decoding changes
_PROBES = 256  # examples hashed into the fingerprint of a large data set


class Source(Protocol):
    """The examples of one split.

    Attributes:
        in_memory: whether reading a batch is a plain copy, so that prefetching gains nothing.
        fingerprint: sha256, in hexadecimal, of the content (for a large data set, of a sample).

    A source that leaves out examples which cannot be read has `skipped`, their names and the
    reasons, which a run records.
    """

    in_memory: bool
    fingerprint: str

    def __len__(self) -> int:
        """Returns the number of examples."""

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Returns `x` uint8, int32 or float32 [n, *event]; if there are labels, `label` int32 [n];
        and if there are conditions, `context` float32 [n, *context].
        """


class Dataset(Protocol):
    """A data set of a config: a frozen dataclass, read on first use.

    Attributes:
        event_shape: the shape of one `x`.
        num_classes: number of labels, or None.

    A data set with conditions has `context_shape`, the shape of one; others lack it or have None. A
    data set of tokens has `num_values`, the number of tokens. A data set that could have labels but
    has none has a message `why_no_labels`. All are compared with the model before a run.
    """

    event_shape: tuple[int, ...]
    num_classes: int | None

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""


class OfBase:
    """Base class of data sets made of another, their field `base`: shapes and classes are those of
    `base` where a subclass has no others.
    """

    base: Dataset

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.base.event_shape

    @property
    def num_classes(self) -> int | None:
        """The number of classes, or None."""
        return self.base.num_classes

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """The shape of one context, or None."""
        return getattr(self.base, 'context_shape', None)


@dataclass(frozen=True)
class Columns:
    """Features read from each record of a TFDS data set.

    Attributes:
        x_key: the feature that becomes `x`.
        label_key: the feature that becomes `label`, or None.
        event_shape: the shape of one `x`.
        dtype: the NumPy name of the type of `x`: uint8 for images and bits, int32, or float32.
        num_classes: number of labels, or None.
        is_image: whether `x_key` is stored as an encoded image.
        levels: number of values 0..levels-1 of a stored pixel; they are spread over 0..255.
        context_key: the feature that becomes `context`, or None.
        context_shape: the shape of one `context`, or None.
    """

    x_key: str
    label_key: str | None
    event_shape: tuple[int, ...]
    dtype: str
    num_classes: int | None
    is_image: bool
    levels: int = 256
    # Not in the representation, which enters the fingerprints of data without contexts.
    context_key: str | None = field(default=None, repr=False)
    context_shape: tuple[int, ...] | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """Text that differs between ways of reading a data set."""
        return repr(self) if self.context_key is None else f'{self!r} {self.context_key}'


def sampled_fingerprint(source: Source) -> str:
    """The sha256 of the size and of 256 examples; the same in memory and in files."""
    probes = np.unique(np.linspace(0, len(source) - 1, _PROBES).astype(int))
    content = InMemorySource(source[probes]).fingerprint
    return hashlib.sha256(f'{len(source)} {content}'.encode()).hexdigest()


class InMemorySource:
    """A `Source` of arrays in memory; a batch costs one gather.

    Raises:
        UserError: a number of `x` is not finite; the message names the example.
    """

    in_memory = True

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = dict(arrays)
        check_finite(self._arrays['x'], np.arange(len(self._arrays['x'])), 'the data')
        for array in self._arrays.values():
            array.flags.writeable = False  # shared by all users of the split

    def __len__(self) -> int:
        return len(self._arrays['x'])

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {name: array[indices] for name, array in self._arrays.items()}

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of all arrays, with their names, types and shapes."""
        digest = hashlib.sha256()
        for name, array in sorted(self._arrays.items()):
            digest.update(f'{name} {array.dtype.str} {array.shape}'.encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class RecordSource:
    """A `Source` that reads and decodes array_record files; safe to use from many threads.

    Attributes:
        builder: a prepared TFDS builder.
        split: a TFDS split expression.
        columns: features to read.
    """

    builder: object
    split: str
    columns: Columns
    in_memory: bool = field(default=False, init=False)

    @functools.cached_property
    def _records(self):
        import tensorflow_datasets as tfds

        # Images are always decoded with Pillow, here: TFDS uses OpenCV if installed, and the two
        # differ on some JPEGs.
        skip = {self.columns.x_key: tfds.decode.SkipDecoding()} if self.columns.is_image else None
        with self._explained():
            return self.builder.as_data_source(self.split, decoders=skip)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        columns = self.columns
        indices = [int(index) for index in indices]
        records = self._records
        with self._explained():
            records = records.__getitems__(indices)
        x = np.empty((len(records), *columns.event_shape), columns.dtype)
        for row, record in enumerate(records):
            value = record[columns.x_key]
            try:
                if columns.is_image:
                    value = decode(value, columns.event_shape)
                x[row] = as_int32(value) if columns.dtype == 'int32' else value
            except Exception as error:  # Pillow raises various types for a damaged file
                raise UserError(f'{self._name(indices[row])}: {error}') from error
        if columns.levels != 256:
            x = spread(x, columns.levels)
        check_finite(x, indices, self._where)
        arrays = {'x': x}
        if columns.context_key is not None:
            rows = [np.asarray(record[columns.context_key], np.float32) for record in records]
            arrays['context'] = np.stack(rows).reshape(len(records), *columns.context_shape)
        if columns.label_key is None:
            return arrays
        label = np.array([r[columns.label_key] for r in records], np.int32)
        for row in np.flatnonzero((label < 0) | (label >= columns.num_classes)):
            raise UserError(
                f'{self._name(indices[row])}: {columns.label_key}={label[row]} is not one of the '
                f'{columns.num_classes} classes 0..{columns.num_classes - 1}'
            )
        return {**arrays, 'label': label}

    @property
    def _where(self) -> str:
        return f'the split {self.split!r} in {self.builder.data_dir}'

    def _name(self, index: int) -> str:
        return f'example {index} of {self._where}'

    @contextlib.contextmanager
    def _explained(self):
        """Turns array_record's error for damaged files into a line for the user."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            folder = self.builder.data_dir
            raise UserError(
                f'the files in {folder} are damaged ({reason}): '
                'remove the folder and prepare it again'
            ) from error

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of name, version, size and 256 decoded examples spread over the split.

        Files are not hashed: they differ between two preparations of the same data.
        """
        probes = np.unique(np.linspace(0, len(self) - 1, _PROBES).astype(int))
        content = InMemorySource(self[probes]).fingerprint
        identity = [self.builder.info.full_name, len(self), self.columns.identity, content]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def load(source: RecordSource) -> InMemorySource:
    """Decodes all of `source` into memory.

    The first call decodes (about 10,000 small images a second); the result is cached for later
    processes in `decoded/`, beside the records, if that folder is writable.

    Raises:
        UserError: it is larger than the memory of this machine.
    """
    columns = source.columns
    needed = len(source) * int(np.prod(columns.event_shape)) * np.dtype(columns.dtype).itemsize
    check_memory(needed, f'{source.builder.name!r} ({source.split})')
    folder = Path(source.builder.data_dir)
    key = hashlib.sha256(f'{_CACHE_VERSION} {_identity(source)}'.encode()).hexdigest()[:16]
    cache = folder / 'decoded' / f'{key}.npz'
    newest = max(path.stat().st_mtime for path in folder.glob('*.array_record*'))
    arrays = read_cache(cache, len(source), newest)
    if arrays is None:
        arrays = _decode_all(source)
        write_cache(cache, arrays)
    return InMemorySource(arrays)


def _decode_all(source: RecordSource) -> dict[str, np.ndarray]:
    size = len(source)
    arrays = {}
    for start in range(0, size, _CHUNK):
        chunk = source[np.arange(start, min(start + _CHUNK, size))]
        for name, values in chunk.items():
            if name not in arrays:
                arrays[name] = np.empty((size, *values.shape[1:]), values.dtype)
            arrays[name][start : start + len(values)] = values
    return arrays


def _identity(source: RecordSource) -> str:
    """Key that differs between data sets, versions, splits and ways of reading them."""
    info = source.builder.info
    parts = [
        (Path(part.filename).name, os.path.getsize(part.filename), part.skip, part.take)
        for part in info.splits[source.split].file_instructions
    ]
    return json.dumps([info.full_name, source.columns.identity, parts])
