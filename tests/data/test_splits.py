import numpy as np
import pytest

from genjax import data
from genjax.errors import UserError


def rows(dataset, split):
    source = dataset.source(split)
    return sorted(source[np.arange(len(source))]['x'][:, 0, 0, 0].tolist())


def test_the_last_tenth_of_train_validates_where_nothing_else_does():
    dataset = data.TFDS('toys.Toy')
    train, validation = rows(dataset, 'train'), rows(dataset, 'validation')
    assert (len(train), len(validation)) == (45, 5)
    assert sorted(train + validation) == list(range(50))
    assert validation != list(range(45, 50))  # the last as stored, which is shuffled
    assert rows(dataset, 'test') == list(range(7))


def test_the_data_sets_own_validation_split_comes_first():
    dataset = data.TFDS('toys.Complete')
    assert [len(rows(dataset, split)) for split in ('train', 'validation', 'test')] == [20, 5, 5]


def test_splits_can_be_chosen():
    dataset = data.TFDS('toys.Toy', train='train[:40]', validation='train[40:]', test='test[:3]')
    assert [len(rows(dataset, split)) for split in ('train', 'validation', 'test')] == [40, 10, 3]
    assert sorted(rows(dataset, 'train') + rows(dataset, 'validation')) == list(range(50))


@pytest.mark.parametrize(
    ('name', 'fields', 'split', 'message'),
    [
        ('Toy', {'train': 'train', 'validation': 'train[45:]'}, 'train', '5 rows .* in train'),
        ('Toy', {'validation': 'train[40:]'}, 'train', '10 rows .* in validation'),
        ('Toy', {'train': 'all', 'validation': 'test'}, 'train', '7 rows .* are in train'),
        ('Toy', {'train': 'train'}, 'train', 'name validation too'),
        ('Toy', {'train': 'tran', 'validation': 'test'}, 'train', "did you mean 'train'?"),
        ('Toy', {'train': 'train[:999]', 'validation': 'test'}, 'train', 'train.*999'),
        ('Toy', {'test': 'test['}, 'test', "test='test\\['"),
        ('Toy', {}, 'valdation', "no split 'valdation'; did you mean 'validation'?"),
        ('TrainOnly', {}, 'test', 'no test split, only train'),
        ('Parts', {}, 'train', 'no split "train", only first, second'),
        ('Sorted', {}, 'train', 'not shuffled'),
    ],
)
def test_mistakes_are_refused(name, fields, split, message):
    with pytest.raises(UserError, match=message):
        data.TFDS(f'toys.{name}', **fields).source(split)


def test_the_end_of_sorted_rows_can_be_held_out_when_named():
    dataset = data.TFDS('toys.Sorted', train='train[:45]', validation='train[45:]')
    assert rows(dataset, 'validation') == list(range(45, 50))
