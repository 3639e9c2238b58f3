import os
from pathlib import Path

import numpy as np
import pytest
from array_record.python import array_record_module

from genjax import data
from genjax.data import datasets, sources, tfds_store
from genjax.errors import UserError


@pytest.fixture
def reopen(monkeypatch):
    """Opens a split of `toys.Toy` as a new process would; `reopen.decoded` counts decoding."""

    def open_again(folder, **fields):
        datasets.open_split.cache_clear()
        return data.TFDS('toys.Toy', data_dir=str(folder), **fields).source('train')

    open_again.decoded = 0
    decode_all = sources._decode_all

    def counted(source):
        open_again.decoded += 1
        return decode_all(source)

    monkeypatch.setattr(sources, '_decode_all', counted)
    return open_again


def test_decoding_happens_once_and_is_kept_for_the_next_process(tmp_path, reopen):
    first = reopen(tmp_path)
    assert data.TFDS('toys.Toy', data_dir=str(tmp_path)).source('train') is first
    second = reopen(tmp_path)
    assert reopen.decoded == 1
    assert second.fingerprint == first.fingerprint
    assert reopen(tmp_path, train='train[:9]', validation='test').fingerprint != first.fingerprint
    assert reopen.decoded == 2


@pytest.mark.parametrize('harm', ['truncate', 'flip', 'old', 'foreign'])
def test_a_kept_copy_that_is_damaged_or_stale_is_decoded_again(harm, tmp_path, reopen):
    first = reopen(tmp_path)
    (cache,) = tmp_path.rglob('*.npz')
    content = bytearray(cache.read_bytes())
    if harm == 'truncate':
        cache.write_bytes(content[: len(content) // 2])
    elif harm == 'flip':
        content[len(content) // 3] ^= 1
        cache.write_bytes(content)
    elif harm == 'old':
        os.utime(cache, (0, 0))
    else:
        np.savez(cache, x=np.zeros((3, 1)))
    assert reopen(tmp_path).fingerprint == first.fingerprint
    assert reopen.decoded == 2
    assert reopen(tmp_path).fingerprint == first.fingerprint
    assert reopen.decoded == 2


def test_a_folder_that_cannot_be_written_is_read_all_the_same(tmp_path, reopen):
    folder = tfds_store.prepare('toys.Toy', str(tmp_path))
    (folder / 'decoded').touch()  # a file where the folder should be
    reopen(tmp_path)
    assert len(reopen(tmp_path)) == 45
    assert reopen.decoded == 2


def test_the_fingerprint_tells_the_content(tmp_path):
    x = np.arange(24, dtype=np.uint8).reshape(4, 6)
    one = sources.InMemorySource({'x': x.copy()}).fingerprint
    assert one == sources.InMemorySource({'x': x.copy()}).fingerprint
    changed = x.copy()
    changed[3, 5] ^= 1
    others = [changed, x[::-1].copy(), x.reshape(6, 4).copy(), x.astype(np.int32)]
    assert len({one, *(sources.InMemorySource({'x': o}).fingerprint for o in others)}) == 5


def test_the_fingerprint_of_records_tells_their_content(tmp_path, reopen):
    source = reopen(tmp_path, in_memory=False)
    before = source.fingerprint
    assert reopen(tmp_path, in_memory=False).fingerprint == before
    assert (
        reopen(tmp_path, in_memory=False, train='train[1:9]', validation='test').fingerprint
        != before
    )
    (file,) = Path(tmp_path).rglob('*train.array_record*')
    everything = source.builder.as_data_source('train').data_source
    records = everything.__getitems__(range(50))

    def fingerprint_of(records):
        writer = array_record_module.ArrayRecordWriter(str(file), 'group_size:1')
        for record in records:
            writer.write(record)
        writer.close()
        return reopen(tmp_path, in_memory=False).fingerprint

    assert fingerprint_of(records) == before  # the files differ, the data do not
    records[20], records[21] = records[21], records[20]
    assert fingerprint_of(records) != before


def test_damaged_files_are_refused(tmp_path):
    folder = tfds_store.prepare('toys.Toy', str(tmp_path))
    (file,) = folder.glob('*train.array_record*')
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r'are damaged .* remove the folder and prepare it again'):
        data.TFDS('toys.Toy', data_dir=str(tmp_path)).source('train')


def test_arrays_in_memory_cannot_be_written_to(tmp_path):
    source = data.TFDS('toys.Toy').source('train')
    with pytest.raises(ValueError, match='read-only'):
        source._arrays['x'][0] = 1


def test_few_levels_are_spread_over_the_range():
    source = data.TFDS('toys.Bits', levels=2).source('train')
    batch = source[np.arange(len(source))]
    assert set(batch) == {'x'}
    assert sorted(np.unique(batch['x'])) == [0, 255]
    raw = data.TFDS('toys.Bits', in_memory=False).source('train')[np.arange(45)]['x']
    np.testing.assert_array_equal(batch['x'], raw * 255)
    assert data.TFDS('toys.Bits').num_classes is None


def test_levels_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match='levels=2, but a pixel has the value'):
        data.TFDS('toys.Toy', levels=2).source('train')
    with pytest.raises(UserError, match='between 2 and 256'):
        data.TFDS('toys.Toy', levels=1)
    with pytest.raises(UserError, match="'features' of 'vectors' is not one"):
        data.TFDS('toys.Vectors', x_key='features', levels=2).source('train')


def test_tensors_become_float32_or_int32():
    dataset = data.TFDS('toys.Vectors', x_key='features')
    x = dataset.source('test')[np.arange(7)]['x']
    assert (x.dtype, dataset.event_shape) == (np.float32, (3,))
    assert sorted(x[:, 0]) == [row / 2 for row in range(7)]
    other = data.TFDS('toys.Vectors', x_key='other').source('test')[np.arange(7)]['x']
    assert other.dtype == np.int32
    assert sorted(map(tuple, other)) == [(row, -row) for row in range(7)]


@pytest.mark.parametrize('in_memory', [True, False])
def test_a_tensor_becomes_the_context(in_memory):
    fields = {'x_key': 'features', 'in_memory': in_memory}
    dataset = data.TFDS('toys.Vectors', context_key='other', **fields)
    source, plain = dataset.source('test'), data.TFDS('toys.Vectors', **fields).source('test')
    batch = source[np.arange(7)]
    assert (batch['context'].dtype, dataset.context_shape) == (np.float32, (2,))
    assert sorted(map(tuple, batch['context'])) == [(row, -row) for row in range(7)]
    np.testing.assert_array_equal(batch['x'], plain[np.arange(7)]['x'])
    assert set(plain[np.arange(7)]) == {'x'} and source.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ('name', 'fields', 'message'),
    [
        ('Toy', {'context_key': 'name'}, 'is not a tensor of numbers'),
        ('Vectors', {'x_key': 'other', 'context_key': 'feature'}, "did you mean 'features'?"),
        ('Vectors', {}, r"has \['features', 'other'\]: name one of them with x_key"),
        ('Vectors', {'x_key': 'feature'}, "no feature of 'vectors'; did you mean 'features'?"),
        ('AnySize', {}, r'shape \(None, None, 3\), not all the same size'),
        ('Toy', {'x_key': 'name'}, "'name' of the data set 'toy' is of type"),
        ('Toy', {'label_key': 'lable'}, "label_key='lable' .* did you mean 'label'?"),
        ('Toy', {'label_key': 'name'}, "'name' of 'toy' is no class label"),
    ],
)
def test_features_that_do_not_serve_are_refused(name, fields, message):
    with pytest.raises(UserError, match=message):
        data.TFDS(f'toys.{name}', **fields).source('train')


def test_shapes_and_classes_come_from_the_builder():
    dataset = data.TFDS('toys.Toy')
    assert (dataset.event_shape, dataset.num_classes) == ((4, 6, 3), 3)


def test_data_larger_than_memory_is_refused_before_it_fills_it(tmp_path, monkeypatch, reopen):
    monkeypatch.setattr(sources.os, 'sysconf', lambda name: 50)
    with pytest.raises(UserError, match='set in_memory=False'):
        reopen(tmp_path)
