"""Images with defects, or with cues that go with the class."""

import colorsys
import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genjax.data.sources import Dataset, OfBase, Source
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest

_GREY = 128
_WAVELENGTH = 4.0  # of the stripes, in pixels


@dataclass(frozen=True)
class Corrupted(OfBase):
    """Corrupts the images of another data set, in all splits; labels are kept.

    The corruption of an example is a function of the seed, the split and its index.

    | `kind` | corruption | `strength` |
    |---|---|---|
    | 'occluded' | a grey square at a random place | covered share of the area, 0..1 |
    | 'noise' | Gaussian noise, clipped to 0..255 | standard deviation, in units of 255 |
    | 'blurred' | Gaussian blur | standard deviation, in units of the height |
    | 'rotated' | a random angle, uniform | largest angle, in units of 180°, 0..1 |
    | 'coloured' | grey to RGB, in the hue of a class | probability of the image's own class, 0..1 |
    | 'texture' | stripes, in the direction of a class | likewise, 0..1 |

    The class of the cue is otherwise a random other one. Data sets of different strengths are
    environments in which the cue is of different use, as in coloured MNIST (Arjovsky et al.,
    "Invariant risk minimization", 2019).

    Attributes:
        base: images uint8 [H, W, C]; grey and labelled for 'coloured', labelled for 'texture'.
        kind: the corruption.
        strength: see above.
        seed: of the corruption.
    """

    base: Dataset
    kind: str
    strength: float
    seed: int = 0

    def __post_init__(self):
        if self.kind not in KINDS:
            guess = nearest(self.kind, KINDS)
            raise UserError(f'there is no corruption {self.kind!r}{guess}; there are {[*KINDS]}')
        most = math.inf if self.kind in ('noise', 'blurred') else 1
        if not 0 <= self.strength <= most or math.isinf(self.strength):
            limit = 'finite' if math.isinf(most) else 'at most 1'
            raise UserError(
                f'Corrupted.strength={self.strength}: that of {self.kind!r} is at least 0 and'
                f' {limit}'
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        shape = self.base.event_shape
        return (*shape[:-1], 3) if self.kind == 'coloured' else shape

    def source(self, split: str) -> Source:
        """Returns the images of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the data are not images of the kind that this corruption takes.
        """
        shape, name = self.base.event_shape, type(self.base).__name__
        if len(shape) != 3 or (self.kind == 'coloured' and shape[-1] != 1):
            kind = 'grey images [H, W, 1]' if self.kind == 'coloured' else 'images [H, W, C]'
            raise UserError(f'Corrupted({self.kind!r}) takes {kind}; those of {name} are {shape}')
        if self.kind in ('coloured', 'texture') and self.base.num_classes is None:
            raise UserError(f'Corrupted({self.kind!r}) needs labels, and {name} has none')
        return _Corrupted(self, self.base.source(split), split)


class _Corrupted:
    """The `Source` of corrupted images."""

    in_memory = False  # reading computes

    def __init__(self, dataset: Corrupted, base: Source, split: str):
        self._dataset, self._base, self._split = dataset, base, split

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        examples, dataset = self._base[indices], self._dataset
        x, label = examples['x'], examples.get('label', np.zeros(len(indices), np.int32))
        if x.dtype != np.uint8:
            name = type(dataset.base).__name__
            raise UserError(f'Corrupted takes pixels, uint8; those of {name} are {x.dtype}')
        corrupted = np.empty((len(x), *dataset.event_shape), np.uint8)
        for row, index in enumerate(indices):
            # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
            seed = [dataset.seed, SPLITS.index(self._split), int(index)]
            random = np.random.RandomState(seed)
            cue = _Cue(int(label[row]), dataset.num_classes or 1)
            pixels = KINDS[dataset.kind](x[row] / 255, dataset.strength, random, cue)
            corrupted[row] = np.round(255 * np.clip(pixels, 0, 1))
        return {**examples, 'x': corrupted}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the base data and the corruption."""
        dataset = self._dataset
        parts = (self._base.fingerprint, self._split, dataset.kind, dataset.strength, dataset.seed)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class _Cue:
    """Class of an image, and the number of classes."""

    label: int
    num_classes: int

    def draw(self, strength: float, random: np.random.RandomState) -> float:
        """Draws the class that the cue shows, as a share of the number of classes: the image's own
        with probability `strength`, otherwise another.
        """
        other = (self.label + 1 + random.randint(max(1, self.num_classes - 1))) % self.num_classes
        return (self.label if random.uniform() < strength else other) / self.num_classes


def _occluded(
    x: np.ndarray, strength: float, random: np.random.RandomState, cue: _Cue
) -> np.ndarray:
    height, width = (round(math.sqrt(strength) * side) for side in x.shape[:2])
    top, left = random.randint(x.shape[0] - height + 1), random.randint(x.shape[1] - width + 1)
    x = x.copy()
    x[top : top + height, left : left + width] = _GREY / 255
    return x


def _noise(x: np.ndarray, strength: float, random: np.random.RandomState, cue: _Cue) -> np.ndarray:
    return x + strength * random.standard_normal(x.shape)


def _blurred(
    x: np.ndarray, strength: float, random: np.random.RandomState, cue: _Cue
) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (strength * x.shape[0],) * 2 + (0,))


def _rotated(
    x: np.ndarray, strength: float, random: np.random.RandomState, cue: _Cue
) -> np.ndarray:
    from scipy.ndimage import rotate

    return rotate(x, 180 * strength * random.uniform(-1, 1), reshape=False, order=1)


def _coloured(
    x: np.ndarray, strength: float, random: np.random.RandomState, cue: _Cue
) -> np.ndarray:
    return x * colorsys.hsv_to_rgb(cue.draw(strength, random), 1, 1)


def _texture(
    x: np.ndarray, strength: float, random: np.random.RandomState, cue: _Cue
) -> np.ndarray:
    angle = np.pi * cue.draw(strength, random)
    rows, columns = np.indices(x.shape[:2])
    place = (rows * np.cos(angle) + columns * np.sin(angle)) / _WAVELENGTH + random.uniform()
    return x * (0.5 + 0.5 * np.cos(2 * np.pi * place))[..., None]


KINDS: dict[str, Callable[..., np.ndarray]] = {
    'occluded': _occluded,
    'noise': _noise,
    'coloured': _coloured,
    'texture': _texture,
    'rotated': _rotated,
    'blurred': _blurred,
}
"""Corruptions of one image in 0..1: (x [H, W, C], strength, random, cue) -> [H, W, C']."""
