"""Digits that move over a noisy screen: the next frame, whose distribution is known."""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.sources import InMemorySource
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest

SIDE = 10
_NOISE = 0.02  # probability that a pixel is flipped
_TURN = 0.1  # probability that a step is drawn anew
_FONT = """
###  .#.  ###  ###  #.#  ###  ###  ###  ###  ###
#.#  ##.  ..#  ..#  #.#  #..  #..  ..#  #.#  #.#
#.#  .#.  ###  .##  ###  ###  ###  .#.  ###  ###
#.#  .#.  #..  ..#  ..#  ..#  #.#  .#.  #.#  ..#
###  ###  ###  ###  ..#  ###  ###  .#.  ###  ###
"""
_GLYPHS = np.array([[list(part) for part in line.split()] for line in _FONT.split('\n')[1:-1]])
_GLYPHS = np.moveaxis(_GLYPHS == '#', 0, 1)  # [10, 5, 3]
_PLACES = np.argwhere(np.ones((SIDE - 5 + 1, SIDE - 3 + 1)))  # of the upper left corner
_STEPS = np.argwhere(np.ones((3, 3))) - 1


@dataclass(frozen=True)
class MovingDigits:
    """Frames of a digit that moves over a screen: x [10, 10, 1] is the next frame, the context
    [10, 10, 2] the two before it. Bits, drawn in memory with fixed seeds.

    A digit, drawn with 3 x 5 pixels, a place and a step of -1, 0 or 1 in both directions are
    uniform. Before each move the step is drawn anew with probability .1, and reversed in a
    direction in which the digit would leave the screen. Each pixel of each frame is flipped with
    probability .02.

    Attributes:
        train_size: training examples; validation and test have 5,000 each.
    """

    train_size: int = 50_000

    event_shape: ClassVar[tuple[int, ...]] = (SIDE, SIDE, 1)
    context_shape: ClassVar[tuple[int, ...]] = (SIDE, SIDE, 2)
    num_classes: ClassVar[None] = None

    def log_prob(self, x: Array, context: Array) -> Array:
        """Returns the exact log p(x | context) [B] in nats of frames x [B, 10, 10, 1], given the
        two before: a sum over all digits, places and steps.
        """
        emission, log_scale = _emissions(jnp.asarray(x))
        after = self.next_states(context).reshape(*emission.shape, 9).sum(-1)
        return jnp.log(jnp.sum(after * emission, axis=(1, 2))) + log_scale

    def next_states(self, context: Array) -> Array:
        """Returns the exact probabilities [B, 10, 432] of the digit and of the place and step, with
        index 9 place + step, in the frame after the two of a context [B, 10, 10, 2].
        """
        first, second = (
            jnp.repeat(_emissions(jnp.asarray(context)[..., frame])[0], 9, axis=2)
            for frame in (0, 1)
        )
        move = jnp.asarray(_transitions(), jnp.float32)
        before = jnp.matmul(first, move, precision='highest') * second
        before = before / jnp.sum(before, axis=(1, 2), keepdims=True)
        return jnp.matmul(before, move, precision='highest')

    def source(self, split: str) -> InMemorySource:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        return _draw(split, self.train_size if split == 'train' else 5000)


def screens() -> np.ndarray:
    """Frames without noise, bool [10 digits, places, 10, 10]."""
    frames = np.zeros((len(_GLYPHS), len(_PLACES), SIDE, SIDE), bool)
    for number, (row, column) in enumerate(_PLACES):
        frames[:, number, row : row + 5, column : column + 3] = _GLYPHS
    return frames


def _moved(place: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of places and steps after a move with a step, indices [...] both."""
    size = _PLACES.max(axis=0) + 1
    start, step = _PLACES[place], _STEPS[step]
    outside = (start + step < 0) | (start + step >= size)
    step = np.where(outside, -step, step)
    (row, column), (down, right) = np.moveaxis(start + step, -1, 0), np.moveaxis(step, -1, 0)
    return row * size[1] + column, 3 * (down + 1) + right + 1


@functools.cache
def _transitions() -> np.ndarray:
    """Probabilities [S, S] of the next place and step, index 9 place + step, given those now."""
    place, step, new = np.indices((len(_PLACES), 9, 9)).reshape(3, -1)
    next_place, next_step = _moved(place, new)
    table = np.zeros((9 * len(_PLACES), 9 * len(_PLACES)))
    chance = np.where(new == step, 1 - _TURN, 0) + _TURN / 9
    np.add.at(table, (9 * place + step, 9 * next_place + next_step), chance)
    return table


def _emissions(frame: Array) -> tuple[Array, Array]:
    """Probabilities [B, 10, places] of frames [B, ...] given digit and place, divided by the
    largest, and the logarithm [B] of that.
    """
    clean = screens().reshape(-1, SIDE * SIDE).astype(np.float32)
    frame = frame.reshape(len(frame), -1).astype(jnp.float32)
    both = jnp.matmul(frame, clean.T, precision='highest')
    flipped = jnp.sum(frame, axis=1, keepdims=True) + clean.sum(axis=1) - 2 * both
    least = jnp.min(flipped, axis=1, keepdims=True)
    ratio = math.log(_NOISE / (1 - _NOISE))
    relative = jnp.exp((flipped - least) * ratio).reshape(len(frame), len(_GLYPHS), -1)
    log_scale = least[:, 0] * ratio + SIDE * SIDE * math.log1p(-_NOISE)
    return relative, log_scale


def read(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the digit [...] and the place, its upper left corner [..., 2], whose frame without
    noise has the fewest pixels other than those of frames [..., 10, 10].
    """
    flat = np.asarray(frames, np.float32).reshape(-1, SIDE * SIDE)
    clean = screens().reshape(-1, SIDE * SIDE).astype(np.float32)
    best = np.argmin(clean.sum(axis=1) - 2 * flat @ clean.T, axis=1)
    digit, place = np.divmod(best.reshape(frames.shape[:-2]), len(_PLACES))
    return digit, _PLACES[place]


def clips(num: int, length: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws `num` films of `length` frames.

    Returns:
        frames: bool [num, length, 10, 10].
        digits: int [num].
        places: upper left corners of the digit, int [num, length, 2].
    """
    frames, digits, places = _simulate(np.random.RandomState(seed), num, length)
    return np.stack(frames, axis=1), digits, _PLACES[np.stack(places, axis=1)]


def _simulate(
    random: np.random.RandomState, size: int, length: int
) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Frames bool [size, 10, 10] and indices of places [size], `length` of each, and digits."""
    digit, place, step = (random.randint(0, n, size) for n in (len(_GLYPHS), len(_PLACES), 9))
    clean, frames, places = screens(), [], []
    for _ in range(length):
        flips = random.uniform(size=(size, SIDE, SIDE)) < _NOISE
        frames.append(clean[digit, place] ^ flips)
        places.append(place)
        drawn = random.uniform(size=size) < _TURN
        place, step = _moved(place, np.where(drawn, random.randint(0, 9, size), step))
    return frames, digit, places


@functools.lru_cache(maxsize=4)
def _draw(split: str, size: int) -> InMemorySource:
    # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
    frames, _, _ = _simulate(np.random.RandomState(200 + SPLITS.index(split)), size, 3)
    *context, x = frames
    return InMemorySource(
        {'x': x[..., None].astype(np.uint8), 'context': np.stack(context, -1).astype(np.float32)}
    )
