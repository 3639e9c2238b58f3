"""Portraits with captions: avatars, and words for their five features."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genjax.data import avatars
from genjax.data.sources import InMemorySource
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest

WORDS = tuple(f'{value} {name}' for name, values in avatars.FEATURES.items() for value in values)
"""The vocabulary: 28 phrases, such as 'round glasses'."""

_FIRST = np.cumsum([0, *avatars.NUM_VALUES[:-1]])
_HELD_OUT = 10  # one of as many combinations is not in the training data


@dataclass(frozen=True)
class Captioned:
    """Portraits uint8 [32, 32, 3] of people of `Avatars`, with a caption as context: a phrase for
    each of the five features, in random order, one-hot [5, 28]. Drawn in memory with fixed seeds.

    A tenth of the 4,032 combinations of features is held out: these people, and no others, are the
    test split. Training and validation splits have all others.

    Attributes:
        train_size: training examples; validation and test have 2,000 each.
    """

    train_size: int = 20_000

    event_shape: ClassVar[tuple[int, ...]] = (avatars.SIDE, avatars.SIDE, 3)
    context_shape: ClassVar[tuple[int, ...]] = (len(avatars.NUM_VALUES), len(WORDS))
    num_classes: ClassVar[None] = None

    def source(self, split: str) -> InMemorySource:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        return _draw(split, self.train_size if split == 'train' else 2000)

    @staticmethod
    def people(context: np.ndarray) -> np.ndarray:
        """Returns the features int [N, 5] that captions [N, 5, 28] tell."""
        words = np.sort(np.argmax(context, axis=-1), axis=-1)
        return words - _FIRST

    @staticmethod
    def texts(context: np.ndarray) -> list[str]:
        """Returns captions [N, 5, 28] as text."""
        return [', '.join(WORDS[word] for word in row) for row in np.argmax(context, axis=-1)]

    @staticmethod
    def read(x: np.ndarray) -> np.ndarray:
        """Returns the features int [N, 5] of the person whose portrait is nearest to each image x
        [N, 32, 32, 3].
        """
        everybody, portraits, squares = _everybody()
        products = np.asarray(x, np.float32).reshape(len(x), -1) @ portraits.T
        return everybody[np.argmin(squares - 2 * products, axis=1)]


@functools.cache
def _everybody() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All combinations, their portraits as vectors, and the squared norms of these."""
    people = avatars.combinations()
    portraits = avatars.render(people).reshape(len(people), -1).astype(np.float32)
    return people, portraits, np.sum(portraits**2, axis=1)


def _is_held_out(people: np.ndarray) -> np.ndarray:
    index = np.ravel_multi_index(people.T, avatars.NUM_VALUES)
    # A fixed permutation, so that the held-out combinations have all values of all features.
    return np.random.RandomState(0).permutation(len(avatars.combinations()))[index] % _HELD_OUT == 0


@functools.lru_cache(maxsize=4)
def _draw(split: str, size: int) -> InMemorySource:
    # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
    random = np.random.RandomState(200 + SPLITS.index(split))
    people = avatars.draw(random, 20 * size)
    people = people[_is_held_out(people) == (split == 'test')][:size]
    order = np.argsort(random.uniform(size=people.shape), axis=1)
    words = np.take_along_axis(people + _FIRST, order, axis=1)
    context = np.eye(len(WORDS), dtype=np.float32)[words]
    return InMemorySource({'x': avatars.render(people), 'context': context})
