"""A stylised world map with exactly known land: polygons, and points on them."""

import functools
import operator
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.datasets import TFDS
from genjax.data.sources import Source

# Longitude and latitude in degrees, in either orientation; polygons do not overlap.
_CONTINENTS = {
    'north america': (
        (-165, 65), (-125, 70), (-80, 72), (-58, 50), (-80, 28), (-84, 10), (-105, 20), (-122, 38),
    ),
    'greenland': ((-55, 80), (-22, 80), (-42, 61)),
    'south america': ((-78, 8), (-50, 2), (-36, -8), (-56, -36), (-68, -54), (-72, -20), (-80, -4)),
    'africa': (
        (-15, 30), (10, 36), (32, 30), (50, 11), (40, -5), (34, -24), (19, -34), (9, 3), (-16, 13),
    ),
    'eurasia': (
        (-9, 38), (-4, 49), (8, 58), (20, 70), (100, 77), (178, 66), (140, 52), (121, 32),
        (106, 11), (95, 18), (78, 9), (66, 25), (52, 17), (37, 33), (24, 38), (12, 41),
    ),
    'australia': ((114, -22), (131, -12), (142, -11), (153, -27), (146, -38), (116, -34)),
    'antarctica': ((-60, -72), (60, -68), (150, -70), (150, -85), (-60, -85)),
}  # fmt: skip


def shoelace(polygon: np.ndarray) -> float:
    """Area of a polygon [V, 2] without self-intersections."""
    x, y = polygon.T
    return float(abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2)


def clip(polygon: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Clips a polygon [V, 2] to a rectangle (Sutherland & Hodgman, 1974).

    Disconnected parts stay joined by degenerate edges, so that `shoelace` remains correct.
    """
    for axis in (0, 1):
        for sign, bound in ((1.0, low[axis]), (-1.0, high[axis])):
            kept = []
            for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                a, b = sign * (start[axis] - bound), sign * (end[axis] - bound)
                if a >= 0:
                    kept.append(start)
                if (a >= 0) != (b >= 0):
                    kept.append(start + (end - start) * (a / (a - b)))
            if not kept:
                return np.zeros((0, 2))
            polygon = np.array(kept)
    return polygon


def inside(polygon: np.ndarray, x: Array) -> Array:
    """Tests points `x` [B, 2] against a polygon [V, 2] by the even-odd rule: bool [B]."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    rise = end[:, 1] - start[:, 1]
    slope = (end[:, 0] - start[:, 0]) / np.where(
        rise == 0, 1.0, rise
    )  # horizontal edges never count
    height = x[:, 1:]
    straddles = (start[:, 1] > height) != (end[:, 1] > height)
    right = x[:, :1] < start[:, 0] + slope * (height - start[:, 1])
    return (straddles & right).sum(axis=-1) % 2 == 1


@dataclass(frozen=True)
class WorldPoints:
    """Points uniform on the land of a stylised world map, with known density.

    The map is the rectangle [-2, 2] x [-1, 1]: 90 degrees are 1, and the plane is not curved. Land
    is seven polygons. 10,000 points for training, 1,000 for validation, 1,000 for test.

    Attributes:
        data_dir: the folder of all data sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    """

    data_dir: str | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('data_dir',)
    event_shape: ClassVar[tuple[int, ...]] = (2,)
    num_classes: ClassVar[int | None] = None

    @property
    def polygons(self) -> tuple[np.ndarray, ...]:
        """The continents, each [V, 2]; they do not overlap."""
        return tuple(np.array(corners) / 90 for corners in _CONTINENTS.values())

    @property
    def land_area(self) -> float:
        """Total area of the land; the map has area 8."""
        return sum(map(shoelace, self.polygons))

    def land_area_within(self, low: np.ndarray, high: np.ndarray) -> float:
        """Area of the land in the rectangle with corners `low` and `high` [2]."""
        return sum(shoelace(clip(polygon, low, high)) for polygon in self.polygons)

    def on_land(self, x: Array) -> Array:
        """Returns whether points `x` [B, 2] are on land, bool [B]; NumPy in, NumPy out."""
        return functools.reduce(operator.or_, (inside(polygon, x) for polygon in self.polygons))

    def log_prob(self, x: Array) -> Array:
        """Returns the exact log-density of the points `x` [B, 2] in nats: -inf at sea."""
        return jnp.where(self.on_land(x), -np.log(self.land_area), -jnp.inf).astype(jnp.float32)

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        return TFDS('world_points', data_dir=self.data_dir).source(split)
