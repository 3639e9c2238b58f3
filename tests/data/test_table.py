import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genjax import cli, data
from genjax.errors import UserError
from tests.data import own

BOTH = pytest.mark.parametrize('in_memory', [True, False])


def rows(dataset, split='train'):
    source = dataset.source(split)
    return source[np.arange(len(source))]


def everything(dataset):
    parts = [rows(dataset, split) for split in ('train', 'validation', 'test')]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@BOTH
@pytest.mark.parametrize('suffix', ['.parquet', '.csv', '.tsv'])
def test_columns_become_examples(suffix, in_memory, tmp_path):
    random = np.random.RandomState(0)
    a, b, c = random.randn(90), random.randint(0, 9, 90), random.rand(90)
    y = np.array(['no', 'yes'])[b % 2]
    path = tmp_path / f'table{suffix}'
    columns = pa.table({'a': a, 'b': b, 'y': y, 'c c': c})
    if suffix == '.parquet':
        pq.write_table(columns, path)
    else:
        separator = ',' if suffix == '.csv' else '\t'
        lines = [separator.join(columns.column_names)]
        lines += [separator.join(map(str, row)) for row in zip(a, b, y, c, strict=True)]
        path.write_text('\n'.join(lines) + '\n')
    dataset = data.Table(str(path), ('a', 'b'), 'y', ('c c',), in_memory=in_memory)
    found = everything(dataset)
    assert dataset.event_shape == (2,) and dataset.context_shape == (1,)
    assert dataset.class_names == ('no', 'yes')
    assert [found[name].dtype.name for name in ('x', 'label', 'context')] == [
        'float32', 'int32', 'float32',
    ]  # fmt: skip
    order, back = np.argsort(a), np.argsort(found['x'][:, 0])
    np.testing.assert_allclose(found['x'][back], np.stack([a, b], 1)[order], rtol=1e-6)
    np.testing.assert_array_equal(found['label'][back], (b % 2)[order])
    np.testing.assert_allclose(found['context'][back, 0], c[order], rtol=1e-6)
    whole = data.Table(str(path), 'b', in_memory=in_memory)
    assert rows(whole)['x'].dtype == np.int32 and whole.event_shape == (1,)


@BOTH
def test_lists_have_their_shape_and_shards_their_order(in_memory, tmp_path):
    x = np.random.RandomState(0).randn(60, 2, 3)
    for number in range(3):
        part = x[20 * number : 20 * number + 20].tolist()
        pq.write_table(pa.table({'x': part}), tmp_path / f'train-{number}.parquet')
    pq.write_table(pa.table({'x': x[:5].tolist()}), tmp_path / 'test.parquet')
    splits = {'validation': 0.2, 'test': 'test'}
    dataset = data.Table(
        str(tmp_path / '{split}*.parquet'), 'x', splits=splits, in_memory=in_memory
    )
    assert dataset.event_shape == (2, 3)
    np.testing.assert_allclose(rows(dataset, 'test')['x'], x[:5], rtol=1e-6)
    both = np.concatenate([rows(dataset, split)['x'] for split in ('train', 'validation')])
    np.testing.assert_allclose(np.sort(both[:, 0, 0]), np.sort(x[:, 0, 0]), rtol=1e-6)
    whole = data.Table(str(tmp_path), 'x', in_memory=in_memory)
    assert len(everything(whole)['x']) == 65


def picture(value, shape=(5, 7), kind='PNG'):
    file = io.BytesIO()
    Image.fromarray(np.full(shape, value, np.uint8)).save(file, kind)
    return file.getvalue()


def hugging_face(path, images, labels, names):
    """A file as `datasets` writes it."""
    structs = [{'bytes': image, 'path': f'{row}.png'} for row, image in enumerate(images)]
    features = {'image': {'_type': 'Image'}, 'label': {'names': names, '_type': 'ClassLabel'}}
    columns = pa.table({'image': structs, 'label': labels})
    metadata = {'huggingface': json.dumps({'info': {'features': features}})}
    pq.write_table(columns.replace_schema_metadata(metadata), path)


@BOTH
def test_images_in_hugging_faces_layout(in_memory, tmp_path):
    path = tmp_path / 'train.parquet'
    names = ['zebra', 'ant', 'never']
    hugging_face(path, [picture(row) for row in range(50)], np.arange(50) % 2, names)
    dataset = data.Table(str(path), 'image', 'label', in_memory=in_memory)
    found = everything(dataset)
    assert dataset.event_shape == (5, 7, 1) and dataset.class_names == tuple(names)
    assert sorted(found['x'][:, 0, 0, 0]) == list(range(50))
    np.testing.assert_array_equal(found['label'], found['x'][:, 0, 0, 0] % 2)
    sized = data.Table(str(path), 'image', size=4, channels=3, in_memory=in_memory)
    assert sized.event_shape == rows(sized)['x'].shape[1:] == (4, 4, 3)


@BOTH
def test_images_that_cannot_be_read_are_named_or_left_out(in_memory, tmp_path):
    images = [picture(row) for row in range(40)]
    images[3], images[7], images[9] = b'no', None, picture(1, (8, 8))
    pq.write_table(pa.table({'image': images}), tmp_path / 'x.parquet')
    dataset = data.Table(str(tmp_path / 'x.parquet'), 'image', in_memory=in_memory)
    named = 'row 3: it is no image; row 7: it is empty; row 9: it is 8 x 8, not 5 x 7; give a size'
    with pytest.raises(UserError, match=f'3 of 40 images of .*: {named}'):
        dataset.source('train')
    dataset = data.Table(str(tmp_path / 'x.parquet'), 'image', in_memory=in_memory, on_error='skip')
    assert set(dataset.source('train').skipped) == {'row 3', 'row 7', 'row 9'}
    assert len(everything(dataset)['x']) == 37


@BOTH
@pytest.mark.parametrize(
    ('columns', 'fields', 'message'),
    [
        ({}, {'path': 'gone.parquet'}, "there is no file 'gone.parquet'"),
        ({}, {'path': '.'}, 'there is no table .* in the folder'),
        ({'age': [1.0]}, {'x': 'agee'}, r"'agee' is no column of .*; did you mean 'age'\?; it has"),
        ({'a': [1.0, None]}, {'x': 'a'}, "row 1 has no value in 'a' of t.parquet"),
        ({'a': [[1.0, 2.0], [float('nan'), 1.0]]}, {'x': 'a'}, "row 1 has no value in 'a'"),
        ({'a': [[1.0, 2.0], [1.0]]}, {'x': 'a'}, "lists of 'a' of t.parquet are not all of the"),
        ({'a': ['one', 'two']}, {'x': 'a'}, r"is text: Text\('t.parquet', column='a'\) reads it"),
        ({'a': [1.0, 2.0], 's': ['u', 'v']}, {'x': ('a', 's')}, "'s' of .* is string, not numbers"),
        ({'a': [1.0] * 3, 'y': [0, 1, 3]}, {'x': 'a', 'label': 'y'}, 'and 2 is not among them'),
        ({'a': [1.0] * 3, 'y': [0, 1, None]}, {'x': 'a', 'label': 'y'}, "row 2 has no value"),
        ({'a': [1.0], 'y': [0.5]}, {'x': 'a', 'label': 'y'}, 'labels are whole numbers, or text'),
        ({'a': [1.0], 'b': [[1.0]]}, {'x': ('a', 'b')}, 'columns of lists cannot be put beside'),
        ({'a': pa.array([], pa.float64())}, {'x': 'a'}, 't.parquet has no rows'),
        ({'a': [b'no']}, {'x': 'a'}, 'row 0 of t.parquet: it is no image'),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(columns, fields, message, in_memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if columns:
        pq.write_table(pa.table(columns), 't.parquet')
    with pytest.raises(UserError, match=message):
        data.Table(**{'path': 't.parquet', 'x': 'a', **fields}, in_memory=in_memory).source('train')


def test_damaged_files_are_one_line(tmp_path):
    for name, content in (('t.parquet', b'PAR1 no'), ('t.csv', b'a,b\n1,2\n3\n'), ('t.txt', b'a')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=r'cannot read .*t\.|is no table') as error:
            data.Table(str(tmp_path / name), 'a').source('train')
        assert '\n' not in str(error.value)


def test_show(tmp_path, capsys):
    dataset = own.table(tmp_path)
    fields = [f'--data.path={dataset.path}', "--data.x=('a','b')", '--data.label=kind', '--num=3']
    assert cli.main(['data', 'show', '@genjax.data.Table', *fields]) == 0
    shown = capsys.readouterr().out
    assert 'x: float32 [2]' in shown and '3 classes: 0 ant, 1 bee, 2 cow' in shown
    assert len(shown.splitlines()) == 7
