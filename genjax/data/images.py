"""Folders of images."""

import functools
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from genjax.data import held_out
from genjax.data.encoded_images import EncodedImages, examine
from genjax.data.fitting import Fit
from genjax.data.held_out import PLACE, Splits
from genjax.data.own_data import Collection, Opened, OwnData, opened
from genjax.errors import UserError
from genjax.files import local

SUFFIXES = ('.jpeg', '.jpg', '.png', '.webp')


@dataclass(frozen=True)
class Images(OwnData):
    """A folder of images (PNG, JPEG, WebP) of any size; x is uint8 [H, W, C].

    Images in sub-folders are labelled by the folder, `photos/cat/1.jpg`; classes are numbered in
    the order of their names. Images are turned upright (EXIF); greyscale, palette, 16-bit and
    transparent ones (put on white) are converted.

    Every image is decoded once before training, to find those that cannot be read.

    Attributes:
        path: the folder; `{split}` in it stands for the name of a split.
        size: height and width, or one number for both.
        crop: 'center' cuts off what the aspect ratio has too much; 'stretch' distorts.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        labels: whether sub-folders are classes; False: they are only read.
        splits: a share held out of the training images, or a name that replaces `{split}`, for each
            split. Which images a share holds out depends on the content of each file alone.
        in_memory: decode all images into memory; False: decode them as training goes.
        on_error: 'raise' refuses a folder with images that cannot be read, and names them; 'skip'
            leaves them out, and a run records them.
    """

    path: str
    size: int | tuple[int, int] = 64
    crop: Literal['center', 'stretch'] = 'center'
    channels: Literal[1, 3, 4] = 3
    labels: bool = True
    splits: Splits = field(default_factory=held_out.tenths, hash=False)
    in_memory: bool = True
    on_error: Literal['raise', 'skip'] = 'raise'

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    FREE: ClassVar[tuple[str, ...]] = ('in_memory',)

    def __post_init__(self):
        sides = self.size if isinstance(self.size, tuple) else (self.size,)
        if len(sides) > 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise UserError(f'size={self.size} must be a number of pixels, or (height, width)')
        for name, allowed in (('crop', ('center', 'stretch')), ('channels', (1, 3, 4))):
            if getattr(self, name) not in allowed:
                raise UserError(f'{name}={getattr(self, name)!r} is none of {allowed}')
        held_out.check(self.splits, self.path)

    @property
    def why_no_labels(self) -> str:
        """Message that tells what would be labels."""
        return f'{self.path} has no sub-folders that are classes' if self.labels else 'labels=False'

    @property
    def _opened(self) -> Opened:
        return _open(self, os.getcwd())


@functools.lru_cache(maxsize=4)
def _open(images: Images, folder: str) -> Opened:
    del folder  # part of the cache key only: the path may be relative
    sides = images.size if isinstance(images.size, tuple) else (images.size, images.size)
    fit = Fit(*sides, images.channels, images.crop)

    def read(split: str) -> Collection:
        where = images.path.replace(PLACE, split)
        root = Path(local(where))
        names = _listed(root, where)
        classes = _classes(names, where, root) if images.labels else None
        encoded = EncodedImages(lambda row: (root / names[row]).read_bytes(), names, fit)
        found = examine(
            encoded,
            (str(root.absolute()), [_stamp(root, name) for name in names]),
            where,
            in_memory=images.in_memory,
            skip=images.on_error == 'skip',
        )
        if found.skipped:
            shown = '; '.join(f'{name}: {why}' for name, why in [*found.skipped.items()][:10])
            logging.getLogger(__name__).warning(
                'left out %d of %d images of %s that cannot be read: %s',
                len(found.skipped), len(names), where, shown,
            )  # fmt: skip
        arrays = {'x': found.x}
        if classes is not None:
            arrays['label'] = classes[found.rows]
        return Collection(arrays, where, hashes=found.hashes, skipped=found.skipped)

    return opened(images.splits, read, images.in_memory)


def _listed(root: Path, where: str) -> list[str]:
    """Returns the images below a folder, as sorted relative paths; hidden ones are left out."""
    if not root.is_dir():
        raise UserError(
            f'there is no folder {where!r}: give its place with --config.dataset.path=…'
        )
    found, others = [], Counter()
    for folder, below, files in os.walk(root, followlinks=True):
        below[:] = [name for name in below if not name.startswith('.')]
        for name in files:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES and not name.startswith('.'):
                found.append(os.path.relpath(os.path.join(folder, name), root))
            else:
                others[suffix or name] += 1
    if not found:
        there = ', '.join(f'{count} {suffix}' for suffix, count in others.most_common(3))
        raise UserError(
            f'there are no images in {where!r} ({", ".join(SUFFIXES)}), only {there or "nothing"}'
        )
    return sorted(found)


def _classes(names: list[str], where: str, root: Path) -> np.ndarray | None:
    """Returns the class folder of each image [N]; None if there are none."""
    folders = [name.partition(os.sep)[0] if os.sep in name else '' for name in names]
    classes = sorted(set(folders))
    if classes == ['']:
        return None
    if '' in classes:
        name = names[folders.index('')]
        raise UserError(
            f'{where!r} has class folders ({classes[1]}, …) and images beside them ({name}, …): '
            'move these into a folder, or read all without labels with labels=False'
        )
    if len(classes) == 1:
        raise UserError(
            f'{where!r} has one class folder only, {classes[0]!r}: name it in the path for images '
            'without labels, or give labels=False'
        )
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith('.') and entry.name not in classes:
            raise UserError(f'the class folder {entry.name!r} of {where!r} has no images')
    return np.array(folders)


def _stamp(root: Path, name: str) -> tuple[str, int, int]:
    status = (root / name).stat()
    return name, status.st_size, status.st_mtime_ns
