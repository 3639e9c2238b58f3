"""Few labels: which examples keep theirs, and in what order they come."""

import numpy as np
import pytest

from genjax.data import Corrupted, Digits, Labelled, SemiSupervised, batch_indices
from genjax.data.sources import InMemorySource
from genjax.errors import UserError

DIGITS = Digits().source('train')
ALL = DIGITS[np.arange(len(DIGITS))]


def _all(source):
    return source[np.arange(len(source))]


def test_a_few_of_each_class_keep_their_label():
    few = _all(Labelled(Digits(), 5).source('train'))
    np.testing.assert_array_equal(few['x'], ALL['x'])
    kept = few['label'] >= 0
    np.testing.assert_array_equal(few['label'][kept], ALL['label'][kept])
    np.testing.assert_array_equal(np.bincount(few['label'][kept]), np.full(10, 5))
    more = _all(Labelled(Digits(), 7).source('train'))['label'] >= 0
    other = _all(Labelled(Digits(), 5, seed=1).source('train'))['label'] >= 0
    assert np.all(more[kept]) and np.any(kept != other)


def test_held_out_splits_are_whole():
    for dataset in (Labelled(Digits(), 5), SemiSupervised(Digits(), 5)):
        for split in ('validation', 'test'):
            whole = Digits().source(split)
            assert dataset.source(split).fingerprint == whole.fingerprint
    assert dataset.num_classes == 10 and dataset.event_shape == (8, 8, 1)


@pytest.mark.parametrize(('share', 'size'), [(0.5, 2494), (0.25, 1663), (0.9, 12470), (1.0, 50)])
def test_labelled_rows_come_in_turn_between_the_others(share, size):
    source = SemiSupervised(Digits(), 5, share=share).source('train')
    rows = _all(source)
    assert len(source) == size
    labelled = rows['label'] >= 0
    # Evenly: in any part of the line, the share of the labelled is right to a row.
    assert np.all(np.abs(np.cumsum(labelled) - share * np.arange(1, size + 1)) < 1.01)
    few = _all(Labelled(Digits(), 5).source('train'))
    known = few['x'][few['label'] >= 0]

    def pictures(x):
        return sorted(picture.tobytes() for picture in x)

    assert pictures(np.unique(rows['x'][labelled], axis=0)) == pictures(known)
    turns = np.bincount(rows['label'][labelled], minlength=10)
    assert turns.max() - turns.min() <= 1
    if share < 1:
        assert pictures(rows['x'][~labelled]) == pictures(few['x'][few['label'] < 0])


def test_the_batch_of_a_step_is_a_function_of_seed_and_step():
    a, b = (SemiSupervised(Digits(), 3, seed=2).source('train') for _ in range(2))
    indices = batch_indices(0, 5, 64, len(a))
    for name, want in a[indices].items():
        np.testing.assert_array_equal(b[indices[::-1]][name][::-1], want)
    assert a.fingerprint == b.fingerprint
    others = (
        SemiSupervised(Digits(), 3, 3),
        SemiSupervised(Digits(), 3, 2, 0.6),
        Labelled(Digits(), 3, 2),
    )
    prints = {a.fingerprint, DIGITS.fingerprint, *(o.source('train').fingerprint for o in others)}
    assert len(prints) == 5


class _Plain:
    event_shape, num_classes, context_shape = (1,), None, (3,)

    def source(self, split):
        return InMemorySource({'x': np.zeros((4, 1), np.float32)})


def test_contexts_are_passed_on():
    assert Labelled(_Plain(), 1).context_shape == Corrupted(_Plain(), 'noise', 0.1).context_shape
    assert SemiSupervised(_Plain(), 1).context_shape == (3,)
    assert Labelled(Digits(), 1).context_shape is None


def test_what_it_refuses():
    with pytest.raises(UserError, match=r'Labelled\.per_class must be at least 1, not 0'):
        Labelled(Digits(), 0)
    with pytest.raises(UserError, match=r'share must be more than 0 and at most 1, not 0'):
        SemiSupervised(Digits(), 1, share=0)
    with pytest.raises(UserError, match=r'per_class=200, and class \d has \d+ training examples'):
        Labelled(Digits(), 200).source('train')
    with pytest.raises(UserError, match='from a data set with labels, and it has none'):
        SemiSupervised(_Plain(), 1).source('train')
