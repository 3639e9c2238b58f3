"""Avatars: people with five features, from a population with known probabilities, as a table or as
images.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.datasets import TFDS
from genjax.data.sources import Source
from genjax.errors import UserError, nearest

FEATURES = {
    'glasses': ('none', 'round', 'square'),
    'backdrop': ('sky', 'sand', 'mint', 'rose', 'lilac', 'slate', 'lemon', 'white'),
    'mouth': ('smile', 'straight', 'open', 'frown'),
    'shirt': ('red', 'navy', 'green', 'striped red', 'striped navy', 'striped green'),
    'hair': ('bald', 'short', 'long', 'bob', 'curls', 'mohawk', 'bun'),
}
"""The values of each feature: 3 x 8 x 4 x 6 x 7 = 4,032 combinations."""

NUM_VALUES = tuple(map(len, FEATURES.values()))
SIDE = 32
FORMS = ('table', 'pictures')

_BACKDROPS = ((135, 190, 235), (226, 202, 150), (160, 220, 180), (240, 170, 180),
              (190, 165, 225), (105, 120, 140), (245, 235, 120), (245, 245, 245))  # fmt: skip
_SHIRTS = ((190, 40, 45), (35, 50, 115), (40, 125, 60))
_SKIN, _HAIR, _INK, _BRASS, _LIPS, _STRIPE = (
    (226, 180, 145), (75, 48, 30), (20, 20, 25), (165, 115, 20), (150, 40, 50), (250, 240, 225),
)  # fmt: skip


@functools.cache
def population() -> np.ndarray:
    """The probability of every combination, [3, 8, 4, 6, 7]; none is zero.

    Glasses and hair are independent; the mouth depends on the glasses, the shirt on the hair, and
    the backdrop on the shirt: each is determined by its cause with probability 1/2, and otherwise
    drawn from a distribution of its own.
    """
    habit = {}
    for name, values in FEATURES.items():
        weights = 0.85 ** np.arange(len(values))  # the first value is the most common
        habit[name] = weights / weights.sum()

    def follows(name: str, cause: str) -> np.ndarray:
        """p(name | cause), [causes, values]."""
        causes, values = len(FEATURES[cause]), len(FEATURES[name])
        return 0.5 * np.eye(values)[np.arange(causes) % values] + 0.5 * habit[name]

    table = np.einsum(
        'g,gm,h,hs,sb->gbmsh',
        habit['glasses'], follows('mouth', 'glasses'), habit['hair'],
        follows('shirt', 'hair'), follows('backdrop', 'shirt'),
    )  # fmt: skip
    table.flags.writeable = False  # every caller gets the same array
    return table


def draw(random: np.random.RandomState | np.random.Generator, num: int) -> np.ndarray:
    """Draws people from the population, int64 [num, 5]."""
    cumulative = np.cumsum(population())
    flat = np.searchsorted(cumulative / cumulative[-1], random.uniform(size=num), side='right')
    return np.stack(np.unravel_index(flat, NUM_VALUES), axis=-1)


def combinations() -> np.ndarray:
    """All combinations, int64 [4032, 5], the last feature changing fastest."""
    return np.indices(NUM_VALUES).reshape(len(NUM_VALUES), -1).T


def render(people: np.ndarray) -> np.ndarray:
    """Draws people [N, 5]: uint8 [N, 32, 32, 3]. No two combinations look the same."""
    glasses, backdrop, mouth, shirt, hair = np.asarray(people).T
    everybody = np.ones(len(backdrop), bool)
    layers = {name: np.flatnonzero(where) for name, where in _layers().items()}
    pixels = np.array(_BACKDROPS, np.uint8)[backdrop][:, None].repeat(SIDE * SIDE, axis=1)

    def paint(who: np.ndarray, layer: str, colour: tuple[int, int, int]) -> None:
        pixels[np.ix_(np.flatnonzero(who), layers[layer])] = colour

    for value, style in enumerate(FEATURES['hair']):
        paint(hair == value, f'behind {style}', _HAIR)
    for value, colour in enumerate(_SHIRTS):
        paint(shirt % 3 == value, 'body', colour)
    paint(shirt >= 3, 'stripes', _STRIPE)
    paint(everybody, 'skin', _SKIN)
    for value, style in enumerate(FEATURES['hair']):
        paint(hair == value, f'front {style}', _HAIR)
    paint(everybody, 'eyes', _INK)
    paint(glasses == 1, 'glasses round', _BRASS)
    paint(glasses == 2, 'glasses square', _INK)
    for value, style in enumerate(FEATURES['mouth']):
        paint(mouth == value, f'mouth {style}', _LIPS)
    return pixels.reshape(-1, SIDE, SIDE, 3)


@functools.cache
def _layers() -> dict[str, np.ndarray]:
    """Pixels covered by each part of a portrait, bool [32, 32]."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1

    def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
        return (x > left) & (x < right) & (y > top) & (y < bottom)

    def square(cx: float) -> np.ndarray:
        return box(cx - 3, 12, cx + 3, 18) & ~box(cx - 2, 13, cx + 2, 17)

    def ring(cx: float) -> np.ndarray:
        return np.abs(np.hypot(x - cx, y - 15) - 3) < 0.5

    nowhere = np.zeros((SIDE, SIDE), bool)
    head, body = ellipse(16, 15.5, 7.5, 8.5), ellipse(16, 34, 13, 8)
    fringe = head & (y < 10)
    return {
        'body': body,
        'stripes': body & (np.floor(y) % 3 == 0),
        'skin': head | box(14, 20, 18, 28),
        'eyes': box(12, 14, 14, 16) | box(18, 14, 20, 16),
        'glasses round': ring(13) | ring(19),
        'glasses square': square(13) | square(19) | box(9, 14, 10, 15) | box(22, 14, 23, 15),
        'mouth smile': box(13, 20, 19, 21) | box(12, 19, 13, 20) | box(19, 19, 20, 20),
        'mouth straight': box(13, 20, 19, 21),
        'mouth open': ellipse(16, 20.5, 2.6, 1.7),
        'mouth frown': box(13, 19, 19, 20) | box(12, 20, 13, 21) | box(19, 20, 20, 21),
        'behind bald': nowhere,
        'behind short': ellipse(16, 13, 9, 9),
        'behind long': ellipse(16, 14, 10, 10.5) | box(6, 14, 26, 28),
        'behind bob': ellipse(16, 14, 10, 10.5) | box(6, 14, 26, 20),
        'behind curls': ellipse(16, 11, 12, 10.5),
        'behind mohawk': nowhere,
        'behind bun': ellipse(16, 4, 4, 3.5) | ellipse(16, 12, 9, 8),
        'front bald': nowhere,
        'front mohawk': box(14, 0, 18, 10),
        **{f'front {hair}': fringe for hair in ('short', 'long', 'bob', 'curls', 'bun')},
    }


@dataclass(frozen=True)
class Avatars:
    """People with five features, from a population of 4,032 combinations with known probabilities
    (after the first chapter of Foster, "Generative deep learning", 2019).

    `'table'`: the features as int32 [5], as in `FEATURES`; 50 people to train on, 1,000 to
    validate, 10,000 to test. `'pictures'`: uint8 [32, 32, 3], 8,000, 1,000 and 2,000.

    Attributes:
        form: `'table'` or `'pictures'`.
        data_dir: the folder of all data sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    """

    form: str = 'table'
    data_dir: str | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('data_dir',)
    num_classes: ClassVar[int | None] = None
    factor_names: ClassVar[tuple[str, ...]] = tuple(FEATURES)
    num_values: ClassVar[tuple[int, ...]] = NUM_VALUES

    def __post_init__(self):
        if self.form not in FORMS:
            guess = nearest(self.form, FORMS)
            raise UserError(f'there is no form {self.form!r}{guess}; there are {list(FORMS)}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (len(NUM_VALUES),) if self.form == 'table' else (SIDE, SIDE, 3)

    def log_prob(self, x: Array) -> Array:
        """Returns the exact log-probability in nats of people `x` [B, 5], as float32 [B].

        Raises:
            UserError: the data are images; pass their `factors`.
        """
        if jnp.shape(x)[1:] != (len(NUM_VALUES),):
            raise UserError(f'Avatars.log_prob takes features [B, 5], not {jnp.shape(x)}')
        values = jnp.asarray(x).astype(jnp.int32)
        return jnp.asarray(np.log(population()), jnp.float32)[tuple(values.T)]

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        return TFDS(f'avatars/{self.form}', data_dir=self.data_dir).source(split)

    def factors(self, split: str) -> np.ndarray:
        """Returns the features of every example of a split, int32 [N, 5]."""
        name = f'avatars/{self.form}'
        source = TFDS(name, x_key='features', data_dir=self.data_dir).source(split)
        return source[np.arange(len(source))]['x']

    def draw_fixed(self, random: np.random.Generator, factor: int, num: int) -> np.ndarray:
        """Draws `num` examples and sets one feature to that of the first; -1 sets none."""
        people = draw(random, num)
        if factor >= 0:
            people[:, factor] = people[0, factor]
        return render(people) if self.form == 'pictures' else people.astype(np.int32)
