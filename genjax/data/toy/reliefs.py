"""Depth maps of smooth reliefs and their shaded images: depth from shading."""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genjax.data.sources import InMemorySource
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest

DISTANCE = 5.0  # of the camera from the mean height, in standard deviations of the height
FLOOR = 1.0  # least depth: heights above 4 standard deviations are cut
_LENGTH = 2.0  # of the correlation, in pixels
_SIDE = 16  # of the square that repeats, in units of the height's standard deviation
_WAVES = 3  # largest wave number
_ZENITH, _AZIMUTH = math.radians(45), math.radians(25)


@dataclass(frozen=True)
class Reliefs:
    """Depth maps x [side, side, 1] and their images under known lights, context
    [side, side, num_lights]; drawn in memory with fixed seeds.

    Heights are a Gaussian process on the torus of 16 x 16 units with variance 1 and covariance
    exp(-r² / (2 · 2²)), cut to waves of at most 3 periods: 28 normal coefficients, no matter how
    many pixels. Depth is 5 - height, at least 1. Brightness is Lambertian, max(0, n · l), without
    cast shadows, plus normal noise. Lights stand at 45° from the view, spread evenly in azimuth
    from 25° on; azimuth 0 is along the first axis.

    Attributes:
        train_size: training examples; validation and test have 2,000 each.
        side: pixels.
        noise: standard deviation of the noise of a pixel; the brightest is 1.
        num_lights: images of each relief.
        linear: shade to first order in the slopes, by l · (-p, -q, 1): `posterior` is exact then.
    """

    train_size: int = 50_000
    side: int = 16
    noise: float = 0.05
    num_lights: int = 1
    linear: bool = False

    num_classes: ClassVar[None] = None

    def __post_init__(self):
        if self.side <= 2 * _WAVES:
            raise UserError(f'Reliefs.side must be more than {2 * _WAVES}, not {self.side}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.side, self.side, 1)

    @property
    def context_shape(self) -> tuple[int, ...]:
        return (self.side, self.side, self.num_lights)

    @property
    def lights(self) -> np.ndarray:
        """Unit vectors [num_lights, 3] towards the lights; the last axis is towards the camera."""
        azimuth = _AZIMUTH + 2 * np.pi * np.arange(self.num_lights) / self.num_lights
        low, high = math.sin(_ZENITH), np.full(self.num_lights, math.cos(_ZENITH))
        return np.stack([low * np.cos(azimuth), low * np.sin(azimuth), high], axis=1)

    def factors(self, split: str) -> np.ndarray:
        """The standard normal coefficients [N, 28] of the reliefs of `source(split)`."""
        return self._draw(split)[0]

    def heights(self, coefficients: np.ndarray) -> np.ndarray:
        """Heights [N, side, side] of coefficients [N, 28]."""
        return self._maps(coefficients, 0)

    def slopes(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives [N, side, side] of the heights along the first and the second axis."""
        return self._maps(coefficients, 1), self._maps(coefficients, 2)

    def normals(self, coefficients: np.ndarray) -> np.ndarray:
        """Unit normals [N, side, side, 3] of the surfaces, with the last component positive."""
        return normals_of(*self.slopes(coefficients))

    def posterior(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mean [N, side, side] and the covariance [side², side²], the same for all, of
        the depth given images [N, side, side, num_lights] that are shaded linearly: exact if
        `linear` is true, but for the floor.
        """
        heights, *slopes = _basis(self.side)
        rates = np.concatenate([-slopes[0] * x - slopes[1] * y for x, y, _ in self.lights])
        precision = np.eye(heights.shape[1]) + rates.T @ rates / self.noise**2
        contrast = np.moveaxis(image - self.lights[:, 2], -1, 1).reshape(len(image), -1)
        mean = np.linalg.solve(precision, rates.T @ contrast.T / self.noise**2).T
        covariance = heights @ np.linalg.solve(precision, heights.T)
        return DISTANCE - self.heights(mean), covariance

    def source(self, split: str) -> InMemorySource:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        return _source(self, split)

    def _maps(self, coefficients: np.ndarray, which: int) -> np.ndarray:
        return (coefficients @ _basis(self.side)[which].T).reshape(-1, self.side, self.side)

    def _draw(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients [N, 28] and standard normal noise [N, *context_shape]."""
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        size = self.train_size if split == 'train' else 2000
        # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
        random = np.random.RandomState(300 + SPLITS.index(split))
        coefficients = random.standard_normal((size, _basis(self.side)[0].shape[1]))
        return coefficients, random.standard_normal((size, *self.context_shape))


@functools.lru_cache(maxsize=4)
def _source(world: Reliefs, split: str) -> InMemorySource:
    coefficients, noise = world._draw(split)
    if world.linear:
        p, q = world.slopes(coefficients)
        image = np.stack([z - x * p - y * q for x, y, z in world.lights], axis=-1)
    else:
        image = shade(world.normals(coefficients), world.lights)
    depth = np.maximum(DISTANCE - world.heights(coefficients), FLOOR)[..., None]
    image = image + world.noise * noise
    return InMemorySource({'x': depth.astype(np.float32), 'context': image.astype(np.float32)})


def normals_of(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Unit normals [..., 3] of a surface with slopes p, q [...] along the first two axes."""
    normals = np.stack([-p, -q, np.ones_like(p)], axis=-1)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def shade(normals: np.ndarray, lights: np.ndarray) -> np.ndarray:
    """Lambertian brightness [..., L] of unit normals [..., 3] under lights [L, 3]."""
    return np.maximum(normals @ lights.T, 0)


@functools.lru_cache(maxsize=4)
def _basis(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights of the 28 waves and their two derivatives, [side², 28] each: cosines, then sines, one
    of each pair of opposite wave vectors.
    """
    numbers = np.arange(-_WAVES, _WAVES + 1)
    first, second = (each.ravel() for each in np.meshgrid(numbers, numbers, indexing='ij'))
    half = (first > 0) | ((first == 0) & (second > 0))
    chosen = half & (first**2 + second**2 <= _WAVES**2)
    wave = 2 * np.pi / _SIDE * np.stack([first, second])[:, chosen]
    size = np.exp(-((_LENGTH**2) * (wave**2).sum(axis=0)) / 4)
    size /= np.sqrt((size**2).sum())
    points = np.arange(side) * _SIDE / side
    places = np.stack(np.meshgrid(points, points, indexing='ij'), -1).reshape(-1, 2)
    cosine, sine = size * np.cos(places @ wave), size * np.sin(places @ wave)
    heights = np.concatenate([cosine, sine], axis=1)
    down, right = (np.concatenate([-k * sine, k * cosine], axis=1) for k in wave)
    return heights, down, right
