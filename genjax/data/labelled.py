"""Data sets with few labels."""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np

from genjax.data.sources import Dataset, OfBase, Source
from genjax.errors import UserError

_CHUNK = 4096  # examples whose labels are read at a time; limits memory


@dataclass(frozen=True)
class Labelled(OfBase):
    """Hides all but a few labels of the training split; the others are -1.

    The labelled examples of a class are random; those of a smaller `per_class` with the same seed
    are among them. Validation and test split keep all labels.

    Attributes:
        base: a data set with classes.
        per_class: labelled training examples of each class.
        seed: chooses the labelled examples.
    """

    base: Dataset
    per_class: int
    seed: int = 0

    def __post_init__(self):
        if self.per_class < 1:
            raise UserError(
                f'{type(self).__name__}.per_class must be at least 1, not {self.per_class}'
            )

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the data have no labels, or a class has fewer than `per_class` examples.
        """
        source = self.base.source(split)
        if split != 'train':
            return source
        kept = labelled_rows(self.base, labels_of(source), self.per_class, self.seed)
        rows = np.arange(len(source))
        return _Partly(source, rows, np.isin(rows, kept))


@dataclass(frozen=True)
class SemiSupervised(Labelled):
    """Mixes a few labelled training examples with the others, whose label is -1.

    A share of the rows of the training split are labelled: the labelled examples, in turn, again
    and again. The other rows are all other examples, once each. An epoch is shuffled, so that a
    batch has this share on average. The labelled examples are those of `Labelled`.

    Attributes:
        base: a data set with classes.
        per_class: labelled training examples of each class.
        seed: chooses the labelled examples.
        share: labelled share of the rows, above 0; 1: the labelled examples alone, once each.
    """

    share: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UserError(
                f'SemiSupervised.share must be more than 0 and at most 1, not {self.share}'
            )

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the data have no labels, or a class has fewer than `per_class` examples.
        """
        source = self.base.source(split)
        if split != 'train':
            return source
        kept = labelled_rows(self.base, labels_of(source), self.per_class, self.seed)
        others = np.setdiff1d(np.arange(len(source)), kept)
        if self.share == 1 or not len(others):
            return _Partly(source, kept, np.ones(len(kept), bool))
        size = max(len(others) + 1, round(len(others) / (1 - self.share)))
        # Row i is labelled where i (size - others) / size passes a whole number.
        turn = np.arange(size + 1) * (size - len(others)) // size
        labelled = np.diff(turn) > 0
        rows = np.empty(size, np.int64)
        rows[labelled] = kept[np.arange(size - len(others)) % len(kept)]
        rows[~labelled] = others
        return _Partly(source, rows, labelled)


def labels_of(source: Source) -> np.ndarray:
    """Reads the labels int32 [N] of a split; raises UserError if there are none."""
    parts = []
    for start in range(0, len(source), _CHUNK):
        batch = source[np.arange(start, min(start + _CHUNK, len(source)))]
        if 'label' not in batch:
            raise UserError('few labels are taken from a data set with labels, and it has none')
        parts.append(batch['label'])
    return np.concatenate(parts)


def labelled_rows(dataset: Dataset, labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Draws `per_class` examples of each class: their rows, int64, in random order.

    Args:
        dataset: the data set, for its number of classes.
        labels: labels [N] of its training split; -1 is never drawn.
        per_class: examples of each class.
        seed: of the draw.

    Raises:
        UserError: a class has too few examples.
    """
    # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
    order = np.random.RandomState(seed).permutation(len(labels))
    kept = []
    for label in range(dataset.num_classes):
        rows = order[labels[order] == label][:per_class]
        if len(rows) < per_class:
            raise UserError(
                f'per_class={per_class}, and class {label} has {len(rows)} training examples with'
                ' labels'
            )
        kept.append(rows)
    # One of each class in turn.
    return np.stack(kept, axis=1).ravel()


class _Partly:
    """Rows of a `Source`, with the label -1 where `labelled` is False."""

    def __init__(self, base: Source, rows: np.ndarray, labelled: np.ndarray):
        self.in_memory = base.in_memory
        self._base, self._rows, self._labelled = base, rows, labelled

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        examples = self._base[self._rows[indices]]
        label = np.where(self._labelled[indices], examples['label'], -1).astype(np.int32)
        return {**examples, 'label': label}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the base data, the rows and which of them are labelled."""
        content = np.stack([self._rows, self._labelled]).astype('<i8').tobytes()
        return hashlib.sha256(self._base.fingerprint.encode() + content).hexdigest()
