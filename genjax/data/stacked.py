"""Stacks three random digits as colour channels: a data set with a thousand modes."""

import functools
import hashlib
from dataclasses import dataclass, field

import numpy as np

from genjax.data.datasets import Digits
from genjax.data.sources import Dataset, Source
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest


@dataclass(frozen=True)
class Stacked:
    """Stacks three random grey images of another data set as the channels of one image.

    With K classes there are K³ modes, and the label of (a, b, c) is K² a + K b + c: the stacked
    MNIST of Metz et al., "Unrolled generative adversarial networks" (2017), where `base` is MNIST.
    Each split uses the images of the same split of `base`. The three images of an example depend
    only on its index; they are stacked when read.

    Attributes:
        base: labelled grey images [H, W, 1].
        train_size: training examples.
        held_out_size: validation examples, and as many test examples.
    """

    base: Dataset = field(default_factory=Digits)
    train_size: int = 50_000
    held_out_size: int = 5_000

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (*self.base.event_shape[:-1], 3)

    @property
    def num_classes(self) -> int:
        """Number of modes."""
        return self.base.num_classes**3

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the split does not exist, or `base` does not have labelled grey images.
        """
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        shape, classes = self.base.event_shape, self.base.num_classes
        if len(shape) != 3 or shape[-1] != 1 or classes is None:
            name = type(self.base).__name__
            raise UserError(f'Stacked takes labelled pictures [H, W, 1]; {name} has {shape}')
        base = self.base.source(split)
        size = self.train_size if split == 'train' else self.held_out_size
        return _Triples(base, classes, _rows(len(base), size, SPLITS.index(split)))


class _Triples:
    """The `Source` of stacked images; `rows` [N, 3] are indices into `base`."""

    def __init__(self, base: Source, num_classes: int, rows: np.ndarray):
        self.in_memory = base.in_memory
        self._base, self._num_classes, self._rows = base, num_classes, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        rows = self._rows[indices]
        parts = self._base[rows.ravel()]
        x = parts['x'].reshape(*rows.shape, *parts['x'].shape[1:-1])
        places = self._num_classes ** np.arange(2, -1, -1)
        label = parts['label'].reshape(rows.shape) @ places
        return {'x': np.moveaxis(x, 1, -1), 'label': label.astype(np.int32)}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the base data and the stacking indices."""
        rows = np.ascontiguousarray(self._rows, '<i8').tobytes()
        return hashlib.sha256(self._base.fingerprint.encode() + rows).hexdigest()


@functools.lru_cache(maxsize=8)
def _rows(base_size: int, size: int, seed: int) -> np.ndarray:
    # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
    return np.random.RandomState(seed).randint(base_size, size=(size, 3))
