"""Latents of another data set, encoded once by a first stage and stored as training data."""

import functools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genjax.data import tfds_store
from genjax.data.bucket_copy import on_disk
from genjax.data.datasets import open_split
from genjax.data.sources import Columns, Source
from genjax.errors import CannotWrite, UserError, nearest
from genjax.files import absolute, as_path, disk_full, new_folder

RECORD = 'latents.json'
_NAME, _VERSION = 'latents', '1.0.0'
_SHARD_BYTES = 2**28


@dataclass(frozen=True)
class Latents:
    """Output of `genjax encode`: the latents of each example of a data set, in its order, with
    labels.

    For a Gaussian encoder, x is float32 [2, *shape], its means and standard deviations; tokens are
    int32 [*shape]. The preprocessing step `genjax.training.LoadLatents` draws latents from them.

    Attributes:
        path: the folder.
        in_memory: read the split once into memory; False: stream from the files.
        shape: shape of a latent with means and standard deviations, for dry runs without the
            folder; checked against the folder if it exists.
        classes: likewise, number of labels.
    """

    path: str
    in_memory: bool = True
    shape: tuple[int, ...] | None = None
    classes: int | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    FREE: ClassVar[tuple[str, ...]] = ('in_memory',)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one x, [2, *shape] or that of tokens."""
        return self.example['x'][0]

    @property
    def num_classes(self) -> int | None:
        """The number of classes, or None."""
        return self.classes if self._planned else self._columns.num_classes

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """The shape of one context, or None; contexts are those of the encoded data."""
        return None if self._planned else self._columns.context_shape

    @property
    def example(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of an example by name; known without the files if the config declares
        them.
        """
        if self._planned:
            shape, dtype, classes = (2, *self.shape), 'float32', self.classes
        else:
            columns = self._columns
            shape, dtype, classes = columns.event_shape, columns.dtype, columns.num_classes
        label = {} if classes is None else {'label': ((), 'int32')}
        context = self.context_shape
        given = {} if context is None else {'context': (context, 'float32')}
        return {'x': (shape, dtype), **label, **given}

    @property
    def record(self) -> dict[str, Any]:
        """Provenance of the latents; see `write`."""
        path = self._there / RECORD
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f'cannot read {path}: {error}') from None

    def source(self, split: str) -> Source:
        """Returns the latents of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: they are missing, or differ from the declared shape or classes.
        """
        splits = list(self.record['data'])
        if split not in splits:
            raise UserError(
                f'{self.path} has no codes of the split {split!r}{nearest(split, splits)}, only of '
                f'{", ".join(splits)}'
            )
        columns = self._columns
        stated, there = (self.shape, self.classes), (columns.event_shape[1:], columns.num_classes)
        for name, said, found in zip(('shape', 'classes'), stated, there, strict=True):
            if said is not None and said != found:
                raise UserError(
                    f'Latents: {name}={said}, but the codes in {self.path} have {found}'
                )
        return open_split(str(on_disk(self._there)), split, columns, self.in_memory)

    @property
    def _folder(self) -> Path:
        return as_path(absolute(self.path))

    @property
    def _planned(self) -> bool:
        """Returns whether shapes come from the config because the files are missing."""
        return self.shape is not None and not (self._folder / RECORD).exists()

    @property
    def _there(self) -> Path:
        """The folder, checked to contain latents."""
        if not (self._folder / RECORD).exists():
            raise UserError(
                f'there are no codes in {self.path}: `genjax encode --workdir=... '
                f'--out={self.path}` writes those of a first stage'
            )
        return self._folder

    @property
    def _columns(self) -> Columns:
        return _columns(str(on_disk(self._there)))


@functools.lru_cache(maxsize=8)
def _columns(folder: str) -> Columns:
    features = dict(tfds_store.read_builder(Path(folder)).info.features.items())
    code, label, context = (features.get(name) for name in ('code', 'label', 'context'))
    return Columns(
        x_key='code',
        label_key=None if label is None else 'label',
        event_shape=tuple(code.shape),
        dtype=str(np.dtype(code.np_dtype)),
        num_classes=None if label is None else label.num_classes,
        is_image=False,
        context_key=None if context is None else 'context',
        context_shape=None if context is None else tuple(context.shape),
    )


def write(
    path: Path,
    splits: Mapping[str, Iterable[Mapping[str, np.ndarray]]],
    example: tuple[tuple[int, ...], str],
    num_classes: int | None,
    record: Mapping[str, Any],
    context_shape: tuple[int, ...] | None = None,
) -> None:
    """Writes the folder that `Latents` reads, atomically, as array_record through TFDS.

    Args:
        path: the folder; must not exist.
        splits: batches of each split: 'x' [B, ...] in the format of `Latents` and, with
            `num_classes`, 'label' [B], with `context_shape`, 'context' [B, ...]. They are written
            as they are produced.
        example: shape and dtype of one 'x'.
        num_classes: number of labels, or None.
        record: provenance, stored as JSON: 'first_stage', its provenance; 'data', the fingerprint
            of each split; other entries.
        context_shape: shape of the contexts, or None.

    Raises:
        UserError: the folder exists, or cannot be written.
    """
    if path.exists():
        raise UserError(f'{path} is there already; remove it, or choose another --out')
    try:
        with new_folder(path) as folder:
            _write_records(folder, splits, example, num_classes, context_shape)
            # Last: what has it is whole, in a bucket too.
            (folder / RECORD).write_text(json.dumps(record, indent=2) + '\n')
    except RuntimeError as error:
        if not disk_full(error):
            raise
        raise CannotWrite(f'cannot write {path}: the disk is full') from error


def _write_records(
    folder: Path,
    splits: Mapping[str, Iterable[Mapping[str, np.ndarray]]],
    example: tuple[tuple[int, ...], str],
    num_classes: int | None,
    context_shape: tuple[int, ...] | None,
) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.dataset_info import DatasetIdentity

    shape, dtype = example
    # As bytes: reading lists of numbers takes many times as long.
    features = {'code': tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype), encoding='bytes')}
    if num_classes is not None:
        features['label'] = tfds.features.ClassLabel(num_classes=num_classes)
    if context_shape is not None:
        features['context'] = tfds.features.Tensor(shape=context_shape, dtype=np.float32)
    info = tfds.core.DatasetInfo(
        builder=DatasetIdentity(_NAME, tfds.core.Version(_VERSION), str(folder), __name__),
        description='Codes of the examples of another data set, in its order.',
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )
    size = math.prod(shape) * np.dtype(dtype).itemsize
    writer = tfds.core.SequentialWriter(
        info, max_examples_per_shard=max(1, _SHARD_BYTES // size), file_format='array_record'
    )
    writer.initialize_splits(list(splits))
    for split, batches in splits.items():
        for batch in batches:
            rows = zip(*(batch['x' if name == 'code' else name] for name in features), strict=True)
            writer.add_examples({split: [dict(zip(features, row, strict=True)) for row in rows]})
    writer.close_all()
