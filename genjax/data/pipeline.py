"""Batches as pure functions of (seed, step, global batch size).

The pipeline has no state to checkpoint: the batch of any step is computed directly, by any number
of processes, each reading only its own rows.
"""

import os
import sys
from collections.abc import Callable, Iterator

import numpy as np

from genjax.data.shuffle import permuted
from genjax.data.sources import Source
from genjax.errors import UserError

Batch = dict[str, np.ndarray]
Rows = slice | np.ndarray
_MAX_THREADS = 16  # more threads only contend for the GIL


def batch_indices(seed: int, step: int, batch_size: int, size: int) -> np.ndarray:
    """Returns the example indices of the global batch of a step, int64 [batch_size].

    Batches are cut from an endless sequence of epochs, each a fresh permutation of all `size`
    examples, so they run across the ends of epochs and may be larger than the data set.

    Args:
        seed: chooses the order; each (seed, epoch) has its own permutation.
        step: the number of the step, from 0.
        batch_size: examples in the global batch.
        size: examples in the split.
    """
    position = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int64)
    epoch, place = np.divmod(position, size)
    indices = np.empty(batch_size, np.int64)
    for number in range(int(epoch[0]), int(epoch[-1]) + 1):
        chosen = epoch == number
        indices[chosen] = permuted(place[chosen], size, seed, number)
    return indices


def random_subset(size: int, num: int) -> np.ndarray:
    """Returns a fixed random subset of min(num, size) of `size` rows, sorted.

    A split may be sorted by class, so that its first rows are not a representative sample.
    """
    return np.sort(permuted(np.arange(min(num, size)), size, seed=0, epoch=0))


def train_batches(
    source: Source, *, batch_size: int, seed: int, start: int = 0, rows: Rows = slice(None)
) -> Iterator[Batch]:
    """Yields the batches of the steps `start`, `start + 1`, … without end.

    Args:
        source: the split to train on.
        batch_size: examples in the global batch.
        seed: chooses the order.
        start: the first step; earlier batches are not computed.
        rows: rows of each global batch to read: those of this process.

    Yields:
        `x` [B, *event] and, if there are labels, `label` int32 [B], where B is the number of
        `rows`.

    Raises:
        UserError: `batch_size` is not positive, or the split is empty.
    """
    _check(source, batch_size)

    def batch(number: int) -> Batch:
        return source[batch_indices(seed, start + number, batch_size, len(source))[rows]]

    return _stream(batch, sys.maxsize, ahead=not source.in_memory)


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    rows: Rows = slice(None),
    filled_to: int | None = None,
    num: int | None = None,
) -> Iterator[Batch]:
    """Yields every example once, in order, in batches of one size.

    The last batch is padded with masked copies of the first example. Every process yields
    the same number of batches.

    Args:
        source: the split to evaluate on.
        batch_size: examples in the global batch.
        rows: which rows of each global batch to read; a process asks for its own.
        filled_to: rows of a global batch, if more than `batch_size`; the rest is padding, so that
            the examples in a batch do not depend on the number of devices.
        num: evaluate a fixed random subset of this size (the beginning of a split may be all of one
            class).

    Yields:
        Like `train_batches`, with `mask` bool [B], False for padding.

    Raises:
        UserError: `batch_size` is not positive, or the split is empty.
    """
    _check(source, batch_size)
    chosen = None if num is None else random_subset(len(source), num)
    size = len(source) if chosen is None else len(chosen)

    def batch(number: int) -> Batch:
        row = np.arange(filled_to or batch_size)[rows]
        place = number * batch_size + row
        mask = (row < batch_size) & (place < size)
        place = np.where(mask, place, 0)
        return {**source[place if chosen is None else chosen[place]], 'mask': mask}

    return _stream(batch, -(-size // batch_size), ahead=not source.in_memory)


def _check(source: Source, batch_size: int) -> None:
    if batch_size < 1:
        raise UserError(f'batch_size={batch_size} must be positive')
    if len(source) == 0:
        raise UserError('the split is empty')


class _Batches:
    """Batches as a sequence, the interface that Grain reads."""

    def __init__(self, batch: Callable[[int], Batch], length: int):
        self._batch = batch
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Batch:
        return self._batch(number)


def _stream(batch: Callable[[int], Batch], length: int, *, ahead: bool) -> Iterator[Batch]:
    """Yields `batch(0)`, …, `batch(length - 1)`, prefetched by threads if `ahead`."""
    if not ahead:
        yield from map(batch, range(length))
        return
    # Imported lazily: it takes seconds, and in-memory data do not need it.
    import grain

    threads = min(os.cpu_count() or 1, _MAX_THREADS)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 2)
    iterator = iter(grain.MapDataset.source(_Batches(batch, length)).to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()  # stops its threads
