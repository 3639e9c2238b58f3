"""The orders of epochs: every example once, in no visible order, and the same for ever."""

import numpy as np
import pytest

from genjax.data import batch_indices, shuffle
from genjax.data.shuffle import LARGE, permuted


@pytest.fixture
def small_is_large(monkeypatch):
    """Sizes from 4 on are permuted place by place."""
    monkeypatch.setattr(shuffle, 'LARGE', 4)


@pytest.mark.parametrize('size', [4, 5, 7, 8, 9, 63, 64, 65, 1000, 4097, 2**15 - 1])
def test_every_example_has_one_place(size, small_is_large):
    for seed, epoch in ((0, 0), (0, 1), (2**40, 7)):
        order = permuted(np.arange(size), size, seed, epoch)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_every_example_of_a_large_split_has_one_place():
    size = LARGE + 12_345
    seen = np.zeros(size, bool)
    seen[permuted(np.arange(size), size, seed=1, epoch=2)] = True
    assert np.all(seen)


def test_the_orders_never_change():
    """A run that goes on under other versions goes on with the same batches."""
    assert permuted(np.arange(5), 50, 7, 1).tolist() == [15, 10, 33, 12, 9]
    assert permuted(np.arange(5), LARGE, 7, 1).tolist() == [
        91780, 1349445, 3078313, 3326997, 3298226,
    ]  # fmt: skip
    assert permuted(np.arange(5), 10**8, 7, 1).tolist() == [
        34695283, 15470232, 29323488, 9825400, 92747568,
    ]  # fmt: skip
    assert batch_indices(seed=2**40, step=10**9, batch_size=4, size=10**8).tolist() == [
        14087616, 34532587, 83190027, 24882155,
    ]  # fmt: skip


def test_the_orders_of_seeds_and_epochs_are_their_own():
    orders = {
        tuple(permuted(np.arange(8), 10**8, seed, epoch))
        for seed in (0, 1, 2**32)
        for epoch in (0, 1, 2**32)
    }
    assert len(orders) == 9


def test_a_place_says_nothing_of_the_example(small_is_large):
    """Of places and examples, and of neighbours, all pairs of quarters of a hundred are as likely
    (χ² of about 15·25 degrees, standard deviation √2 of that, over twenty orders).
    """
    size, parts = 10_000, 25
    same, next_to = [], []
    for epoch in range(20):
        order = permuted(np.arange(size), size, seed=3, epoch=epoch)
        part = order * parts // size
        for pairs, before in ((same, np.arange(size) * parts // size), (next_to, np.roll(part, 1))):
            counts = np.bincount(before * parts + part, minlength=parts**2)
            pairs.append(np.sum((counts - size / parts**2) ** 2) / (size / parts**2))
    freedom = (parts - 1) ** 2
    for pairs in (same, next_to):
        assert abs(np.mean(pairs) - freedom) < 5 * np.sqrt(2 * freedom / len(pairs))


def test_a_batch_of_an_enormous_split_is_made_at_once():
    """A table would take 8 TB."""
    batch = batch_indices(seed=0, step=10**10, batch_size=4096, size=10**12)
    assert len(set(batch)) == 4096
    assert batch.min() >= 0 and batch.max() < 10**12
    assert abs(np.mean(batch) / 10**12 - 0.5) < 0.03
