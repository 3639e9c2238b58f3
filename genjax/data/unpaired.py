"""Two domains without pairs, for unpaired translation."""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np

from genjax.data.sources import Dataset, OfBase, Source
from genjax.errors import UserError, nearest

_BLUE, _YELLOW = np.array([0, 40, 160]), np.array([255, 220, 0])


def _coloured(x: np.ndarray) -> np.ndarray:
    share = x / 255
    return np.round((1 - share) * _BLUE + share * _YELLOW).astype(np.uint8)


DOMAINS = {
    'inverted': lambda x: 255 - x,
    'rotated': lambda x: np.rot90(x, axes=(-3, -2)),
    'coloured': _coloured,
}
"""Transformations of grey images uint8 [B, H, W, 1]: inversion, rotation by 90° to the left, or
yellow on blue, [B, H, W, 3].
"""


@dataclass(frozen=True)
class Part(OfBase):
    """Every `step`-th training example of a data set; held-out splits stay whole.

    Attributes:
        base: the data set.
        start: the first example.
        step: stride; parts with the same step and different starts below it are disjoint.
    """

    base: Dataset
    start: int = 0
    step: int = 2

    def __post_init__(self):
        if not 0 <= self.start < self.step:
            raise UserError(f'Part: start={self.start} must be from 0 to step - 1={self.step - 1}')

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        source = self.base.source(split)
        if split != 'train':
            return source
        return _Chosen(source, np.arange(self.start, len(source), self.step))


@dataclass(frozen=True)
class Transformed(OfBase):
    """Transforms the grey images of another data set; labels are kept.

    Attributes:
        base: images uint8 [H, W, 1]; square, to be rotated.
        domain: 'inverted', 'rotated' by 90°, or 'coloured' yellow on blue (RGB).
    """

    base: Dataset
    domain: str

    def __post_init__(self):
        if self.domain not in DOMAINS:
            guess = nearest(self.domain, DOMAINS)
            raise UserError(f'there is no domain {self.domain!r}{guess}; there are {[*DOMAINS]}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return DOMAINS[self.domain](np.zeros(self.base.event_shape, np.uint8)).shape

    def source(self, split: str) -> Source:
        """Returns the images of `'train'`, `'validation'` or `'test'`."""
        return _Mapped(self.base.source(split), self.domain)


@dataclass(frozen=True)
class Unpaired:
    """Unpaired images of two domains: x is [2, H, W, C].

    Row 0 is an image of domain `a`, row 1 one of `b`; the pairing is random, drawn once, and
    meaningless. A split has as many examples as the larger domain; images of the smaller one are
    repeated. Grey images get three equal channels if the other domain has colours. Labels are those
    of `a`.

    Attributes:
        a: images uint8 [H, W, C].
        b: likewise, of the same height and width.
    """

    a: Dataset
    b: Dataset

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example; raises UserError if the domains differ in height or width."""
        a, b = self.a.event_shape, self.b.event_shape
        if a[:-1] != b[:-1] or (a[-1] != b[-1] and 1 not in (a[-1], b[-1])):
            raise UserError(f'Unpaired: pictures of {a} and of {b} do not fit together')
        return (2, *a[:-1], max(a[-1], b[-1]))

    @property
    def num_classes(self) -> int | None:
        """The number of classes of `a`, or None."""
        return self.a.num_classes

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        a, b = self.a.source(split), self.b.source(split)
        return _Both(a, b, self.event_shape)


class _Chosen:
    """A subset of a `Source`."""

    def __init__(self, base: Source, rows: np.ndarray):
        self.in_memory = base.in_memory
        self._base, self._rows = base, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return self._base[self._rows[indices]]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the base data and the rows."""
        return _digest(self._base.fingerprint, self._rows.tolist())


class _Mapped:
    """A `Source` of transformed images."""

    def __init__(self, base: Source, domain: str):
        self.in_memory = base.in_memory
        self._base, self._domain = base, domain

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        examples = self._base[indices]
        return {**examples, 'x': DOMAINS[self._domain](examples['x'])}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the base data and the domain."""
        return _digest(self._base.fingerprint, self._domain)


class _Both:
    """The `Source` of unpaired examples."""

    def __init__(self, a: Source, b: Source, shape: tuple[int, ...]):
        self.in_memory = a.in_memory and b.in_memory
        self._a, self._b, self._shape = a, b, shape
        # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
        self._order = np.random.RandomState(0).permutation(len(b))

    def __len__(self) -> int:
        return max(len(self._a), len(self._b))

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        indices = np.asarray(indices)
        a = self._a[indices % len(self._a)]
        b = self._b[self._order[indices % len(self._b)]]
        shape = (len(indices), *self._shape[1:])
        x = np.stack([np.broadcast_to(domain['x'], shape) for domain in (a, b)], axis=1)
        return {**a, 'x': x}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of both domains."""
        return _digest(self._a.fingerprint, self._b.fingerprint)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
