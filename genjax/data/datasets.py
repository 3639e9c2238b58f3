"""Data sets for config files: frozen, cheap to construct, read on first use."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jax import Array

from genjax.data import splits, tfds_store
from genjax.data.sources import Columns, RecordSource, Source, load
from genjax.data.toy.mixtures import LAYOUTS, Mixture
from genjax.errors import UserError, nearest

_FEW_LEVELS = {'binarized_mnist': 2}
"""Stock data sets with stored pixels not in 0..255, and their number of pixel values."""

_CLASS = 'is a class label'


@dataclass(frozen=True)
class Digits:
    """The 1,797 handwritten digits of scikit-learn: 1,297 for training, 200 for validation, 300 for
    test.

    Images [8, 8, 1] with 17 grey levels, spread over 0..255. The split is fixed (`docs/data.md`).

    Attributes:
        data_dir: the folder of all data sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    """

    data_dir: str | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('data_dir',)
    event_shape: ClassVar[tuple[int, ...]] = (8, 8, 1)
    num_classes: ClassVar[int] = 10

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        return TFDS('digits', data_dir=self.data_dir).source(split)


@dataclass(frozen=True)
class Gaussians:
    """A uniform mixture of isotropic Gaussians in the plane, with known density.

    `'ring'`: 8 components at distance 1 from the origin, standard deviation 0.01. `'grid'`: 25 at
    (-4, -2, 0, 2, 4)², standard deviation 0.05. Both as in Lin et al., PacGAN (2018). 100,000
    training points, 10,000 for validation, 10,000 for test; labels are the components.

    Attributes:
        layout: `'ring'` or `'grid'`.
        data_dir: the folder of all data sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    """

    layout: str = 'ring'
    data_dir: str | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('data_dir',)
    event_shape: ClassVar[tuple[int, ...]] = (2,)

    def __post_init__(self):
        if self.layout not in LAYOUTS:
            guess = nearest(self.layout, LAYOUTS)
            raise UserError(f'there is no layout {self.layout!r}{guess}; there are {list(LAYOUTS)}')

    @property
    def _mixture(self) -> Mixture:
        return LAYOUTS[self.layout]

    @property
    def centres(self) -> np.ndarray:
        """Means of the components, [K, 2]."""
        return self._mixture.centres

    @property
    def scale(self) -> float:
        """Standard deviation of the components along each axis."""
        return self._mixture.scale

    @property
    def num_classes(self) -> int:
        """The number of components."""
        return len(self.centres)

    def log_prob(self, x: Array) -> Array:
        """Returns the exact log-density in nats of the points `x` [B, 2], as float32 [B]."""
        return self._mixture.log_prob(x)

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        return TFDS(f'gaussians/{self.layout}', data_dir=self.data_dir).source(split)


@dataclass(frozen=True)
class TFDS:
    """Any TFDS data set, prepared as array_record.

    Attributes:
        name: `'mnist'`, `'cifar10'`, `'name/config'`, …; or the import path of your own builder
            class.
        train: a TFDS split expression; None: `'train'` without the held-out rows.
        validation: likewise; None: the validation split or, without one, the last tenth of `train`.
        test: likewise; None: `'test'`.
        in_memory: decode the split once into memory; False: stream from the files.
        x_key: the feature that becomes `x`; None: the only image or, without any, the only tensor.
        label_key: the feature that becomes `label`; None: the only class label, if there is one.
        context_key: the tensor that becomes `context`; None: no context.
        levels: number of values 0..levels-1 of a stored pixel; they are spread over 0..255. None:
            256, or the known number of the data set (`binarized_mnist`: 2).
        data_dir: the folder of all data sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    """

    name: str
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    in_memory: bool = True
    x_key: str | None = None
    label_key: str | None = None
    levels: int | None = None
    data_dir: str | None = None
    context_key: str | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('data_dir',)
    IMPORTS: ClassVar[tuple[str, ...]] = ('name',)
    FREE: ClassVar[tuple[str, ...]] = ('in_memory',)

    def __post_init__(self):
        if self.levels is not None and not 2 <= self.levels <= 256:
            raise UserError(f'levels={self.levels} must be between 2 and 256')

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example; the data set must be prepared."""
        return self._columns.event_shape

    @property
    def num_classes(self) -> int | None:
        """Number of classes; None without labels. The data set must be prepared."""
        return self._columns.num_classes

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """The shape of one context; None without contexts. The data set must be prepared."""
        return None if self.context_key is None else self._columns.context_shape

    @property
    def why_no_labels(self) -> str:
        """Message that names the features that could serve as label, if none does."""
        return _why_no_labels(self._builder.info.features)

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: there is no such data set or split, or it is not prepared.
        """
        if split not in splits.SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, splits.SPLITS)}')
        chosen = {'train': self.train, 'validation': self.validation, 'test': self.test}
        expression = splits.resolve(self._builder, chosen)[split]
        if expression is None:
            names = ', '.join(self._builder.info.splits)
            raise UserError(
                f'the data set {self.name!r} has no test split, only {names}; name one, '
                "for example test='validation'"
            )
        return open_split(str(self._builder.data_dir), expression, self._columns, self.in_memory)

    @property
    def _builder(self):
        folder = tfds_store.data_dir_path(self.data_dir)
        return _builder(self.name, str(folder), self.data_dir)

    @property
    def _columns(self) -> Columns:
        return _columns(self._builder, self.x_key, self.label_key, self._levels, self.context_key)

    @property
    def _levels(self) -> int:
        return self.levels or _FEW_LEVELS.get(self._builder.name, 256)


@functools.lru_cache(maxsize=32)
def _builder(name: str, folder: str, data_dir: str | None):
    del folder  # part of the cache key only: $TFDS_DATA_DIR may change
    return tfds_store.open_builder(name, data_dir)


@functools.lru_cache(maxsize=8)
def open_split(folder: str, expression: str, columns: Columns, in_memory: bool) -> Source:
    """Opens a source, cached: a split is decoded once per process."""
    source = RecordSource(tfds_store.read_builder(Path(folder)), expression, columns)
    return load(source) if in_memory else source


def _columns(
    builder, x_key: str | None, label_key: str | None, levels: int, context_key: str | None
) -> Columns:
    """Finds the features of `builder` that become `x`, `label` and `context`."""
    from tensorflow_datasets import features as kinds

    features = dict(sorted(builder.info.features.items()))  # their order is not fixed
    images = [key for key, kind in features.items() if isinstance(kind, kinds.Image)]
    # The exact type: texts, labels and boxes are subclasses of Tensor.
    tensors = [key for key, kind in features.items() if type(kind) is kinds.Tensor]
    labels = [key for key, kind in features.items() if isinstance(kind, kinds.ClassLabel)]
    x_key = _pick(builder.name, 'x_key', x_key, images or tensors, features)
    if x_key is None:
        raise UserError(
            f'the data set {builder.name!r} has no picture or tensor, only {[*features]}'
        )
    if label_key is not None or len(labels) == 1:
        label_key = _pick(builder.name, 'label_key', label_key, labels, features)
        if label_key not in labels:
            reason = (
                _kind_of_label(features[label_key]) or f'is a {type(features[label_key]).__name__}'
            )
            raise UserError(
                f'label_key={label_key!r} of {builder.name!r} is no class label: it {reason}'
            )
    kind = features[x_key]
    is_image = isinstance(kind, kinds.Image)
    if None in kind.shape:
        raise UserError(
            f'the pictures of {builder.name!r} have the shape {kind.shape}, not all the same size; '
            'write a builder that stores them at one size (docs/data.md)'
        )
    if levels != 256 and not is_image:
        raise UserError(
            f'levels={levels} is for pictures; {x_key!r} of {builder.name!r} is not one'
        )
    stored = np.dtype(kind.np_dtype)
    if stored in (np.uint8, np.bool_):
        dtype = 'uint8'
    elif is_image or stored.kind not in 'iuf':
        raise UserError(f'{x_key!r} of the data set {builder.name!r} is of type {stored}')
    else:
        dtype = 'float32' if stored.kind == 'f' else 'int32'
    classes = features[label_key].num_classes if label_key is not None else None
    context_shape = None
    if context_key is not None:
        numbers = [key for key in tensors if np.dtype(features[key].np_dtype).kind in 'biuf']
        _pick(builder.name, 'context_key', context_key, numbers, features)
        if context_key not in numbers or None in features[context_key].shape:
            raise UserError(
                f'context_key={context_key!r} of {builder.name!r} is not a tensor of numbers of one'
                ' shape'
            )
        context_shape = tuple(features[context_key].shape)
    return Columns(
        x_key, label_key, tuple(kind.shape), dtype, classes, is_image, levels, context_key,
        context_shape,
    )  # fmt: skip


def _why_no_labels(features: Mapping[str, Any]) -> str:
    kinds = {key: _kind_of_label(kind) for key, kind in sorted(features.items())}
    labels = [key for key, kind in kinds.items() if kind == _CLASS]
    if len(labels) > 1:
        return f'{" and ".join(map(repr, labels))} are class labels; name one with label_key'
    close = '; '.join(f'{key!r} {kind}' for key, kind in kinds.items() if kind)
    if not close:
        return f'none of the features {[*features]} is a class label'
    return f'{close}; store it as a tfds.features.ClassLabel'


def _kind_of_label(kind: Any) -> str | None:
    """Describes a feature that could be a label; None for others."""
    from tensorflow_datasets import features as kinds

    if isinstance(kind, kinds.ClassLabel):
        return _CLASS
    if isinstance(kind, kinds.Text):
        return 'is text'
    if isinstance(kind, kinds.Tensor) and kind.shape == () and np.dtype(kind.np_dtype).kind in 'iu':
        return f'is {np.dtype(kind.np_dtype)} without a number of classes'
    return None


def _pick(name: str, field: str, key: str | None, candidates: list, features: dict) -> str | None:
    if key is not None:
        if key not in features:
            guess = nearest(key, features)
            raise UserError(
                f'{field}={key!r} is no feature of {name!r}{guess}; it has {[*features]}'
            )
        return key
    if len(candidates) > 1:
        raise UserError(
            f'the data set {name!r} has {candidates}: name one of them with {field}=...'
        )
    return candidates[0] if candidates else None
