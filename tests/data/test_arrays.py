import numpy as np
import pytest

from genjax import data
from genjax.errors import UserError


def rows(dataset, split='train'):
    source = dataset.source(split)
    return source[np.arange(len(source))]


@pytest.mark.parametrize(
    ('x', 'dtype', 'shape'),
    [
        (np.arange(40) % 2 == 0, np.uint8, (1,)),
        (np.zeros((40, 4, 5), np.uint8), np.uint8, (4, 5, 1)),
        (np.zeros((40, 4, 5), np.int64), np.int32, (4, 5)),
        (np.arange(40, dtype=np.uint16), np.int32, (1,)),
        (np.zeros((40, 2), np.float64), np.float32, (2,)),
        (np.zeros((40, 2), np.float16), np.float32, (2,)),
    ],
)
def test_any_type_becomes_one_of_a_source(x, dtype, shape, tmp_path):
    np.save(tmp_path / 'x.npy', x)
    for dataset in (data.Arrays(x=x), data.Arrays(str(tmp_path / 'x.npy'), in_memory=False)):
        assert rows(dataset)['x'].dtype == dtype
        assert dataset.event_shape == shape
        assert dataset.num_classes is dataset.context_shape is dataset.class_names is None


def test_arrays_from_python_are_those_of_a_file(tmp_path):
    x = np.random.RandomState(0).randn(50, 3)
    label = np.array(['cat', 'dog'])[np.arange(50) % 2]
    made = data.Arrays(x=x, label=label)
    assert made == data.Arrays(x=x.copy(), label=list(label))
    assert (made.num_classes, made.class_names) == (2, ('cat', 'dog'))
    np.savez(tmp_path / 'a.npz', a=x, b=label)
    read = data.Arrays(str(tmp_path / 'a.npz'), x='a', label='b')
    assert made.source('train').fingerprint == read.source('train').fingerprint
    np.save(tmp_path / 'a.npy', x)
    np.save(tmp_path / 'b.npy', label[:, None])
    beside = data.Arrays(str(tmp_path / 'a.npy'), label='b.npy')
    assert beside.source('train').fingerprint == read.source('train').fingerprint


def test_splits_from_files_and_arrays_of_their_own(tmp_path):
    x = np.arange(90).reshape(90, 1)
    label = np.arange(90) % 3
    np.savez(tmp_path / 'a.npz', x_train=x[:60], y_train=label[:60], x_t=x[60:], y_t=label[60:])
    for name, part in (('train', slice(60)), ('t', slice(60, 90))):
        np.savez(tmp_path / f'{name}.npz', x=x[part], y=label[part])
    splits = {'validation': 0.2, 'test': 't'}
    for dataset in (
        data.Arrays(str(tmp_path / 'a.npz'), x='x_{split}', label='y_{split}', splits=splits),
        data.Arrays(str(tmp_path / '{split}.npz'), x='x', label='y', splits=splits),
    ):
        np.testing.assert_array_equal(rows(dataset, 'test')['x'], x[60:])
        held, kept = rows(dataset, 'validation')['x'], rows(dataset, 'train')['x']
        assert sorted([*held[:, 0], *kept[:, 0]]) == list(range(60)) and len(held)


@pytest.mark.parametrize(
    ('arrays', 'fields', 'message'),
    [
        ({}, {'path': 'gone.npz'}, "there is no file 'gone.npz'"),
        ({}, {'path': 'x.csv'}, r'Arrays reads .npz and .npy files'),
        ({'x': np.zeros((5, 2)), 'y': np.zeros(5)}, {}, 'has the arrays x, y: name the examples'),
        ({'images': np.zeros((5, 2))}, {'x': 'imagse'}, "did you mean 'images'"),
        (
            {'x': np.zeros((5, 2)), 'y': np.zeros(4, int)},
            {'x': 'x', 'label': 'y'},
            r"'y' of .* has 4 rows, and 'x' of .* has 5",
        ),
        (
            {'x': np.zeros((4, 2)), 'y': np.array([0, 1, 3, 3])},
            {'x': 'x', 'label': 'y'},
            'has the labels 0, 1, 3, and 2 is not among them: number the classes 0..K-1',
        ),
        (
            {'x': np.zeros((4, 2)), 'y': np.array([1, 2, 3, 3])},
            {'x': 'x', 'label': 'y'},
            'and 0 is not among them',
        ),
        (
            {'x': np.zeros((4, 2)), 'y': np.eye(4)},
            {'x': 'x', 'label': 'y'},
            r'one label for each example, \[N\], and is \[4, 4\]',
        ),
        (
            {'x': np.zeros((4, 2)), 'y': np.zeros(4)},
            {'x': 'x', 'label': 'y'},
            'is float64: labels are whole numbers, or text',
        ),
        ({'x': np.array([[1], [1, 2]], object)}, {}, 'are its rows of one shape?'),
        ({'x': np.array(['a', 'b'])}, {}, 'is not an array of numbers'),
        ({'x': np.array([[1, 2**40]])}, {}, '1099511627776 is not an int32'),
        ({'x': np.full((40, 1), np.nan)}, {}, 'of example 0 of .* is not finite'),
    ],
)
@pytest.mark.parametrize('in_memory', [True, False])
def test_mistakes_are_one_line(arrays, fields, message, in_memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if arrays:
        np.savez('a.npz', **arrays)
    dataset = data.Arrays(**{'path': 'a.npz', **fields}, in_memory=in_memory)
    with pytest.raises(UserError, match=message):
        rows(dataset)


def test_mistakes_in_arrays_from_python_are_one_line():
    for arguments, message in (
        ({}, 'takes path=…, a file, or x=…'),
        ({'x': [[1], [1, 2]]}, 'inhomogeneous'),
        ({'x': 'images'}, 'takes path=…, a file, or x=…'),
        ({'path': 'a.npz', 'x': np.zeros((4, 2))}, 'with a path, x is the name of an array'),
    ):
        with pytest.raises(UserError, match=message):
            data.Arrays(**arguments)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / 'a.npz'
    np.savez(path, x=np.zeros((100, 10)))
    path.write_bytes(path.read_bytes()[:-200])
    for in_memory in (True, False):
        with pytest.raises(UserError, match=r'cannot read .*a\.npz'):
            data.Arrays(str(path), in_memory=in_memory).source('train')
