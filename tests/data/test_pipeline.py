import itertools
import os
import threading

import numpy as np
import pytest

from genjax import data
from genjax.data.pipeline import random_subset
from genjax.data.sources import InMemorySource
from genjax.errors import UserError


def source_of(size):
    return InMemorySource({'x': np.arange(size)[:, None], 'label': np.arange(size) % 3})


def first(iterator, count):
    return list(itertools.islice(iterator, count))


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            assert batch[name].dtype == other[name].dtype
            np.testing.assert_array_equal(batch[name], other[name])


@pytest.mark.parametrize(('size', 'batch_size'), [(10, 4), (10, 10), (7, 1), (5, 13), (1, 3)])
def test_every_epoch_is_a_permutation_of_its_own(size, batch_size):
    epochs = 6
    steps = -(-epochs * size // batch_size)
    line = np.concatenate([data.batch_indices(3, step, batch_size, size) for step in range(steps)])
    assert line.dtype == np.int64
    line = line[: epochs * size].reshape(epochs, size)
    np.testing.assert_array_equal(np.sort(line), np.broadcast_to(np.arange(size), line.shape))
    if size >= 7:
        assert len({tuple(epoch) for epoch in line}) == epochs


def test_the_order_depends_on_the_seed_and_never_changes():
    orders = {tuple(data.batch_indices(seed, 0, 8, 100)) for seed in (0, 1, 2**32, 2**40 + 1)}
    assert len(orders) == 4
    # A run that is resumed under another version of NumPy must go on with the same batches.
    assert data.batch_indices(seed=7, step=12, batch_size=8, size=50).tolist() == [
        26, 29, 40, 19, 20, 46, 29, 17,
    ]  # fmt: skip


def test_any_start_gives_the_same_stream(any_source):
    stream = first(data.train_batches(any_source, batch_size=6, seed=1), 12)
    for start in (0, 1, 5, 11):
        late = data.train_batches(any_source, batch_size=6, seed=1, start=start)
        assert_same(first(late, 12 - start), stream[start:])


def test_a_start_far_away_is_as_fast_as_a_near_one():
    (batch,) = first(data.train_batches(source_of(23), batch_size=6, seed=1, start=10**9), 1)
    np.testing.assert_array_equal(batch['x'][:, 0], data.batch_indices(1, 10**9, 6, 23))


@pytest.mark.parametrize('processes', [1, 2, 4])
def test_the_rows_of_all_processes_make_the_global_batch(processes, any_source):
    share = 8 // processes
    rows = [slice(p * share, (p + 1) * share) for p in range(processes)]

    def joined(batches):
        streams = [first(batches(part), 5) for part in rows]
        return [
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            for parts in zip(*streams, strict=True)
        ]

    def train(part):
        return data.train_batches(any_source, batch_size=8, seed=1, rows=part)

    def evaluate(part):
        return data.eval_batches(any_source, batch_size=8, rows=part)

    assert_same(joined(train), first(train(slice(None)), 5))
    whole = list(evaluate(slice(None)))
    assert_same(joined(evaluate), whole[:5])
    assert all(len(list(evaluate(part))) == len(whole) for part in rows)


@pytest.mark.parametrize(('size', 'batch_size'), [(12, 4), (10, 4), (3, 8), (1, 1)])
def test_evaluation_sees_every_example_once(size, batch_size):
    batches = list(data.eval_batches(source_of(size), batch_size=batch_size))
    assert all(len(batch['x']) == len(batch['mask']) == batch_size for batch in batches)
    assert all(batch['mask'].dtype == bool for batch in batches)
    seen = np.concatenate([batch['x'][batch['mask'], 0] for batch in batches])
    np.testing.assert_array_equal(seen, np.arange(size))


def test_batches_of_evaluation_that_are_filled_hold_the_same_examples():
    source, rows = source_of(10), np.array([0, 1, 4, 5])
    for whole, filled, part in zip(
        data.eval_batches(source, batch_size=4),
        data.eval_batches(source, batch_size=4, filled_to=6),
        data.eval_batches(source, batch_size=4, filled_to=6, rows=rows),
        strict=True,
    ):
        assert_same([{name: value[:4] for name, value in filled.items()}], [whole])
        assert len(filled['x']) == 6 and not filled['mask'][4:].any()
        assert_same([{name: value[rows] for name, value in filled.items()}], [part])


def test_evaluation_of_a_part_is_not_of_a_prefix():
    def seen(num):
        batches = data.eval_batches(source_of(1000), batch_size=16, num=num)
        return np.concatenate([batch['x'][batch['mask'], 0] for batch in batches])

    assert len(set(seen(100))) == 100
    assert 400 < np.mean(seen(100)) < 600
    np.testing.assert_array_equal(seen(100), seen(100))
    np.testing.assert_array_equal(seen(5000), np.arange(1000))
    assert set(random_subset(1000, 50)) <= set(seen(100))


@pytest.mark.parametrize('rows', [slice(None), slice(3, 6)])
def test_reading_from_files_gives_the_batches_of_memory(rows):
    memory = data.TFDS('digits').source('train')
    files = data.TFDS('digits', in_memory=False).source('train')
    assert memory.in_memory and not files.in_memory
    for start in (0, 140):  # across the end of the first epoch
        streams = [
            data.train_batches(source, batch_size=9, seed=5, start=start, rows=rows)
            for source in (memory, files)
        ]
        assert_same(first(streams[0], 8), first(streams[1], 8))
        streams[1].close()
    memory, files = (
        data.TFDS('toys.Toy', in_memory=in_memory).source('test') for in_memory in (True, False)
    )
    assert_same(
        list(data.eval_batches(memory, batch_size=4, rows=rows)),
        list(data.eval_batches(files, batch_size=4, rows=rows)),
    )


class Files:
    """A source of a hundred million examples that notes which are read."""

    in_memory = False

    def __init__(self):
        self.read = []

    def __len__(self):
        return 10**8

    def __getitem__(self, indices):
        self.read.append(indices)
        return {'x': indices[:, None]}


def test_a_process_reads_its_own_rows_and_none_before_its_first_step():
    source, rows, start = Files(), slice(96, 128), 10**9
    batches = data.train_batches(source, batch_size=256, seed=1, start=start, rows=rows)
    for step in range(start, start + 3):
        want = data.batch_indices(1, step, 256, len(source))[rows]
        np.testing.assert_array_equal(next(batches)['x'][:, 0], want)
    batches.close()
    ahead = 2 * (os.cpu_count() or 1) + 8  # the threads, and what they may have put by
    wanted = [data.batch_indices(1, start + n, 256, len(source))[rows] for n in range(ahead)]
    read = set(np.concatenate(source.read).tolist())
    assert len(source.read) < ahead and read <= set(np.concatenate(wanted).tolist())


def test_reading_ahead_stops_with_the_iterator():
    source = data.TFDS('toys.Toy', in_memory=False).source('train')
    batches = data.train_batches(source, batch_size=4, seed=0)
    next(batches)
    threads = [thread for thread in threading.enumerate() if 'grain' in thread.name]
    assert threads
    batches.close()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_mistakes_are_refused_at_once():
    with pytest.raises(UserError, match='batch_size=0 must be positive'):
        data.train_batches(source_of(3), batch_size=0, seed=0)
    with pytest.raises(UserError, match='the split is empty'):
        data.eval_batches(source_of(0), batch_size=2)
