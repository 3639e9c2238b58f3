"""Images that are decoded when they are read."""

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from genjax.data.array_store import cache_folder
from genjax.data.decoded_cache import check_memory, read_cache, write_cache
from genjax.data.fitting import Fit
from genjax.data.held_out import content_hash
from genjax.errors import UserError

_VERSION = 1  # raise when decoding changes
_NAMED = 10  # unreadable images that a message names


class EncodedImages:
    """Encoded images as an array uint8 [N, H, W, C]: rows are decoded when they are taken. Safe to
    use from many threads.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, read: Callable[[int], bytes], names: list[str], fit: Fit):
        """Makes the array.

        Args:
            read: returns the encoded image of a row.
            names: of the images, for messages.
            fit: decodes one.
        """
        self.read, self.names, self.fit = read, names, fit
        self.shape = (len(names), *fit.shape)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        indices = np.arange(len(self))[rows]
        pixels = np.empty((len(indices), *self.fit.shape), np.uint8)
        for place, row in enumerate(indices):
            try:
                pixels[place] = self.fit(self.read(row))
            except (ValueError, OSError) as error:
                raise UserError(f'{self.names[row]}: {error}') from None
        return pixels

    def kept(self, rows: np.ndarray) -> 'EncodedImages':
        """Returns some of the images."""
        return EncodedImages(
            lambda row: self.read(rows[row]), [self.names[row] for row in rows], self.fit
        )


@dataclass(frozen=True)
class Examined:
    """The readable images.

    Attributes:
        x: the pixels, or the images to decode.
        hashes: hash of the content of each, uint64 [N].
        rows: their rows among all images.
        skipped: reasons why the others are left out, by name.
    """

    x: np.ndarray | EncodedImages
    hashes: np.ndarray
    rows: np.ndarray
    skipped: Mapping[str, str]


def examine(
    images: EncodedImages, identity: object, where: str, *, in_memory: bool, skip: bool
) -> Examined:
    """Decodes every image once, with all cores; what it finds is kept in the cache.

    Args:
        images: the images.
        identity: changes when they do.
        where: what they are, for messages.
        in_memory: keep the pixels.
        skip: leave out those that cannot be read.

    Raises:
        UserError: images cannot be read, which the message names; or they are larger than the
            memory.
    """
    if in_memory:
        check_memory(int(np.prod(images.shape)), where)
    key = hashlib.sha256(repr((_VERSION, identity, images.fit, in_memory)).encode()).hexdigest()
    cache = cache_folder() / 'images' / f'{key[:24]}.npz'
    found = read_cache(cache, len(images))
    if found is None:
        found = {
            'hash': np.zeros(len(images), np.uint64),
            'reason': np.full(len(images), 'not decoded yet', object),
            **({'x': np.zeros(images.shape, np.uint8)} if in_memory else {}),
        }
    found['reason'] = found['reason'].astype(object)
    wrong = np.flatnonzero(found['reason'] != '')
    if len(wrong):  # also those that could not be read before: the reason may be gone
        _decode(images, wrong, found)
        write_cache(cache, {**found, 'reason': found['reason'].astype(str)})
    rows, wrong = (
        np.flatnonzero(whole) for whole in (found['reason'] == '', found['reason'] != '')
    )
    skipped = {images.names[row]: found['reason'][row] for row in wrong}
    if skipped and not (skip and len(rows)):
        shown = '; '.join(f'{name}: {why}' for name, why in [*skipped.items()][:_NAMED])
        more = f'; and {len(skipped) - _NAMED} more' if len(skipped) > _NAMED else ''
        advice = '' if skip else "; repair or remove them, or leave them out with on_error='skip'"
        raise UserError(
            f'{len(skipped)} of {len(images)} images of {where} cannot be read: {shown}{more}'
            + advice
        )
    x = images if not in_memory else found['x']
    if skipped:
        x = images.kept(rows) if not in_memory else x[rows]
    return Examined(x, found['hash'][rows], rows, skipped)


def _decode(images: EncodedImages, rows: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """Decodes some rows, and notes for each its 'hash', the 'reason' why it cannot be read, ''
    without one, and its 'x', if that is among the arrays.
    """

    def decode(row: int) -> None:
        try:
            data = images.read(row)
            found['hash'][row] = content_hash(data)
            pixels = images.fit(data)
        except (ValueError, OSError) as error:
            found['reason'][row] = getattr(error, 'strerror', None) or str(error)
        else:
            found['reason'][row] = ''
            if 'x' in found:
                found['x'][row] = pixels

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, rows):
            pass
