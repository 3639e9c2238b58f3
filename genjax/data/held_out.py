"""Splits of the user's own data: held out by content, or from files of their own."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genjax.data.shuffle import mixed
from genjax.data.splits import SPLITS
from genjax.errors import UserError, nearest

Splits = Mapping[str, float | str]
"""For `'validation'` and `'test'`: the share of the training data to hold out, or the name that
replaces `{split}` in the path. For `'train'`: such a name.
"""

PLACE = '{split}'


def tenths() -> dict[str, float | str]:
    """Holds out a tenth for validation and a tenth for test."""
    return {'validation': 0.1, 'test': 0.1}


@dataclass(frozen=True)
class Portion:
    """The examples of a collection whose hash, as a number in [0, 1), lies in [low, high).

    Attributes:
        name: what replaces `{split}` in the path of the collection.
        low: lower end.
        high: upper end.
    """

    name: str
    low: float = 0.0
    high: float = 1.0

    def rows(self, hashes: np.ndarray) -> np.ndarray:
        """Returns the indices of the examples with these hashes, uint64 [N], that belong to it."""
        place = (hashes >> np.uint64(11)) / 2.0**53  # exact: floats have 53 bits
        return np.flatnonzero((place >= self.low) & (place < self.high))


def check(splits: Splits, path: str) -> None:
    """Raises UserError unless these are splits of the data at `path`."""
    shares = 0.0
    for name, value in splits.items():
        if name not in SPLITS:
            raise UserError(f'there is no split {name!r}{nearest(name, SPLITS)}')
        if isinstance(value, str):
            if PLACE not in path:
                raise UserError(
                    f'splits: {name}={value!r} is a name, and path={path!r} has no {PLACE} that it '
                    'could replace; a share of the data is a number, such as 0.1'
                )
            continue
        if name == 'train':
            raise UserError(f'splits: train={value} is what the others leave: leave it out')
        if not 0 < value < 1:
            raise UserError(
                f'splits: {name}={value} must be more than 0 and less than 1; leave out a split '
                'that is not wanted'
            )
        shares += value
    if shares >= 1:
        raise UserError(
            f'splits: validation and test take {shares:g} and leave nothing to train on'
        )


def portions(splits: Splits) -> dict[str, Portion]:
    """Returns the part of the data that makes each split, for those that there are.

    A held-out share comes from the training collection. Validation has its lowest hashes and test
    its highest, so that another share of one moves nothing into or out of the other.
    """
    train = splits.get('train', 'train')
    shares = {name: s for name, s in splits.items() if not isinstance(s, str)}
    low, high = shares.get('validation', 0.0), 1 - shares.get('test', 0.0)
    found = {'train': Portion(train, low, high)}
    for name, portion in (('validation', Portion(train, 0.0, low)), ('test', Portion(train, high))):
        if name in splits:
            found[name] = portion if name in shares else Portion(splits[name])
    return found


def chosen(split: str, splits: Splits) -> Portion:
    """Returns the part of the data that makes a split; raises UserError if there is none."""
    found = portions(splits)
    if split not in found:
        reason = ''
        if split in SPLITS:
            reason = f'; give its share, splits={{{split!r}: 0.1}}, or its name in the path'
        guess = nearest(split, found) if split not in SPLITS else ''
        raise UserError(f'there is no split {split!r}{guess}, only {", ".join(found)}{reason}')
    return found[split]


def content_hash(content: bytes) -> int:
    """Returns the first 8 bytes of the sha256 as a number."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], 'big')


def row_hashes(*arrays: np.ndarray) -> np.ndarray:
    """Returns a hash of each row of arrays [N, ...], uint64 [N].

    Equal rows differ in it by how many equal ones precede them: a split of rows that repeat, such
    as those of a few categories, is a fair sample. Further rows change no hash of the others.
    """
    hashes = np.empty(len(arrays[0]), np.uint64)
    for number in range(len(hashes)):
        hashes[number] = content_hash(b''.join(array[number].tobytes() for array in arrays))
    return told_apart(hashes)


def told_apart(hashes: np.ndarray) -> np.ndarray:
    """Returns hashes, uint64 [N], with equal ones changed by how many precede them."""
    hashes = hashes.copy()
    order = np.argsort(hashes, kind='stable')
    ordered = hashes[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(hashes)])
    repeats = np.arange(len(hashes)) - np.repeat(begins, np.diff(np.r_[begins, len(hashes)]))
    again = repeats > 0
    ordered[again] = mixed(ordered[again] ^ mixed(repeats[again].astype(np.uint64)))
    hashes[order] = ordered
    return hashes
