"""Images of jars with two factors of variation: height and width."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genjax.data.datasets import TFDS
from genjax.data.sources import Source

SIDE = 32
"""Image side, in pixels."""

_MEAN, _SPREAD, _REACH = np.array([18.0, 14.0]), np.array([3.0, 3.0]), 2.5
_GROUND, _LID, _DARK, _GLASS, _PAPER = 29.0, 3.0, 30.0, 120.0, 230.0


def draw_factors(random: np.random.RandomState | np.random.Generator, num: int) -> np.ndarray:
    """Draws heights and widths [num, 2] in pixels: independent normals, truncated at 2.5 σ."""
    z = random.standard_normal((2 * num, 2))
    z = z[np.abs(z).max(axis=-1) < _REACH][:num]
    return _MEAN + _SPREAD * z


def render(factors: np.ndarray) -> np.ndarray:
    """Draws jars of the given heights and widths [N, 2]: uint8 [N, 32, 32, 1].

    A glass with a lid, centred on the ground. Edges are anti-aliased by pixel coverage, so that
    images depend smoothly on the factors.
    """
    height, width = np.asarray(factors, np.float64).T[:, :, None]
    pixel = np.arange(SIDE)
    rows = {
        'glass': _cover(pixel, _GROUND - height, np.full_like(height, _GROUND)),
        'lid': _cover(pixel, _GROUND - height - _LID, _GROUND - height),
    }
    middle = SIDE / 2
    columns = {
        'glass': _cover(pixel, middle - width / 2, middle + width / 2),
        'lid': _cover(pixel, middle - 0.4 * width, middle + 0.4 * width),
    }
    picture = np.full((len(height), SIDE, SIDE), _PAPER)
    for part, shade in (('glass', _GLASS), ('lid', _DARK)):
        cover = rows[part][:, :, None] * columns[part][:, None, :]
        picture += cover * (shade - picture)
    return np.round(picture).astype(np.uint8)[..., None]


def _cover(pixel: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Fraction of each pixel [P] between `start` and `end` [N, 1]: [N, P]."""
    return np.clip(np.minimum(pixel + 1, end) - np.maximum(pixel, start), 0, 1)


@dataclass(frozen=True)
class Jars:
    """Images [32, 32, 1] of jars with two known factors, height and width.

    4,000 for training, 500 for validation, 1,000 for test.

    Attributes:
        data_dir: the folder of all data sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    """

    data_dir: str | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('data_dir',)
    event_shape: ClassVar[tuple[int, ...]] = (SIDE, SIDE, 1)
    num_classes: ClassVar[int | None] = None
    factor_names: ClassVar[tuple[str, ...]] = ('height', 'width')

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        return TFDS('jars', data_dir=self.data_dir).source(split)

    def factors(self, split: str) -> np.ndarray:
        """Returns height and width in pixels of every example of a split, float32 [N, 2]."""
        source = TFDS('jars', x_key='factors', data_dir=self.data_dir).source(split)
        return source[np.arange(len(source))]['x']

    def draw_fixed(self, random: np.random.Generator, factor: int, num: int) -> np.ndarray:
        """Draws `num` examples that share one random value of a factor; -1 fixes none."""
        factors = draw_factors(random, num)
        if factor >= 0:
            factors[:, factor] = factors[0, factor]
        return render(factors)
