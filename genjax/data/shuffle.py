"""Random order of a split for each epoch, as a function of the position in it."""

import functools
import threading

import numpy as np

LARGE = 2**22
"""From this many examples on, positions are permuted one by one: a table would take 8 bytes per
example and seconds to compute at the start of each epoch.
"""

_ROUNDS = 6
_lock = threading.Lock()


def permuted(places: np.ndarray, size: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the examples at these positions of an epoch's order, int64 like `places`.

    Smaller splits are ordered by NumPy's shuffle, larger ones by a Feistel network with cycle
    walking (Black & Rogaway, "Ciphers with arbitrary finite domains", 2002). Neither may ever
    change: a run resumed under other versions must see the same batches.

    Args:
        places: positions in [0, size), of any shape.
        size: examples in the split.
        seed: selects the sequence of orders.
        epoch: selects one order.
    """
    if size >= LARGE:
        return _feistel(places, size, _keys(seed, epoch))
    with _lock:  # threads that reach a new epoch at once compute its table once
        table = _table(seed, epoch, size)
    return table[places]


def _random(seed: int, epoch: int) -> np.random.RandomState:
    # Its streams are frozen by NumPy's policy; default_rng's may change. It is seeded with 32-bit
    # words.
    return np.random.RandomState(
        [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF, epoch & 0xFFFFFFFF, epoch >> 32]
    )


@functools.lru_cache(maxsize=4)
def _table(seed: int, epoch: int, size: int) -> np.ndarray:
    return _random(seed, epoch).permutation(size)


@functools.lru_cache(maxsize=4)
def _keys(seed: int, epoch: int) -> tuple[np.uint64, ...]:
    return tuple(np.frombuffer(_random(seed, epoch).bytes(8 * _ROUNDS), '<u8').astype(np.uint64))


def _feistel(places: np.ndarray, size: int, keys: tuple[np.uint64, ...]) -> np.ndarray:
    """Feistel permutation of [0, size) by cycle walking."""
    bits = (size - 1).bit_length()
    values = _encrypt(np.asarray(places).astype(np.uint64), bits, keys)
    outside = values >= size
    while np.any(outside):
        values[outside] = _encrypt(values[outside], bits, keys)
        outside = values >= size
    return values.astype(np.int64)


def _encrypt(values: np.ndarray, bits: int, keys: tuple[np.uint64, ...]) -> np.ndarray:
    """Permutes `bits`-bit numbers: each round adds a keyed hash of the right half to the left one,
    and swaps them.
    """
    low = np.uint64(bits // 2)
    high = np.uint64(bits) - low
    for key in keys:
        left, right = values >> low, values & ((np.uint64(1) << low) - np.uint64(1))
        swapped = left ^ (mixed(right ^ key) >> (np.uint64(64) - high))
        values = (right << high) | swapped
        low, high = high, low
    return values


def mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
