"""Tables of bits and piano rolls from files."""

import functools
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from genjax.data.sources import InMemorySource, Source
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest
from genjax.files import local


@dataclass(frozen=True)
class Binary:
    """Rows of bits from text files of 0 and 1, one file per split; x is uint8 [D].

    Attributes:
        path: the files, with `{split}` for the name of the split, such as `'dna.{split}.data.gz'`.
            Values are separated by commas or blanks; `.gz` is decompressed.
        splits: names of train, validation and test in `path`.
    """

    path: str
    splits: tuple[str, str, str] = ('train', 'valid', 'test')

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    num_classes: ClassVar[None] = None

    def __post_init__(self):
        if '{split}' not in self.path:
            raise UserError(f"path={self.path!r} must contain '{{split}}', the name of a split")

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The number of columns; the files must be there."""
        return self.source('train')[np.arange(1)]['x'].shape[1:]

    def source(self, split: str) -> Source:
        """Returns the rows of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the file or split does not exist, or has values other than bits.
        """
        return _bits(self.path.format(split=self.splits[_place(split)]))


@dataclass(frozen=True)
class PianoRolls:
    """Music as piano rolls: which of 88 keys sound in each frame.

    x is float32 [frames, 88] of 0 and 1, padded at the end with frames of -1 to the length of the
    longest piece. The file is that of Boulanger-Lewandowski et al., "Modeling temporal dependencies
    in high-dimensional sequences" (2012), in MATLAB's format: a list of uint8 [T, 88] under
    `traindata`, `validdata` and `testdata`.

    Attributes:
        path: the file, such as `JSB_Chorales.mat`.
        frames: frames per example; longer pieces are refused.
    """

    path: str
    frames: int

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    num_classes: ClassVar[None] = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of a piano roll: (frames, keys)."""
        return (self.frames, 88)

    def source(self, split: str) -> Source:
        """Returns the pieces of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the file or split does not exist, or a piece is too long.
        """
        return _rolls(self.path, self.frames, _place(split))


def _place(split: str) -> int:
    if split not in SPLITS:
        raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
    return SPLITS.index(split)


def _existing(path: str) -> Path:
    file = Path(local(path))
    if not file.is_file():
        raise UserError(f'there is no file {path!r}: give its place with --config.dataset.path=…')
    return file


@functools.lru_cache(maxsize=16)
def _bits(path: str) -> InMemorySource:
    content = _existing(path).read_bytes()
    try:
        content = gzip.decompress(content) if path.endswith('.gz') else content
        x = np.loadtxt(content.decode().replace(',', ' ').splitlines(), np.uint8, ndmin=2)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f'{path!r} is no table of bits: {error}') from None
    if x.size == 0 or x.max() > 1:
        raise UserError(f'{path!r} is no table of bits')
    return InMemorySource({'x': x})


@functools.lru_cache(maxsize=8)
def _rolls(path: str, frames: int, place: int) -> InMemorySource:
    from scipy.io import loadmat

    try:
        content = loadmat(_existing(path))
        pieces = content[('traindata', 'validdata', 'testdata')[place]].ravel()
    except (ValueError, KeyError, NotImplementedError) as error:
        raise UserError(f'{path!r} has no piano rolls: {error}') from None
    longest = max(len(piece) for piece in pieces)
    if longest > frames:
        raise UserError(f'{path!r} has a piece of {longest} frames, more than frames={frames}')
    x = np.full((len(pieces), frames, 88), -1, np.float32)
    for row, piece in zip(x, pieces, strict=True):
        row[: len(piece)] = piece
    return InMemorySource({'x': x})
