import gzip

import numpy as np
import pytest
import scipy.io

from genjax import data
from genjax.errors import UserError


def test_bits_are_read_plain_and_packed(tmp_path):
    rows = np.random.RandomState(0).randint(0, 2, (7, 5))
    text = '\n'.join(','.join(map(str, row)) for row in rows) + '\n'
    for split in ('train', 'valid', 'test'):
        (tmp_path / f'toy.{split}.data.gz').write_bytes(gzip.compress(text.encode()))
        (tmp_path / f'{split}.txt').write_text(text.replace(',', ' '))
    packed = data.Binary(str(tmp_path / 'toy.{split}.data.gz'))
    plain = data.Binary(str(tmp_path / '{split}.txt'))
    assert packed.event_shape == (5,)
    x = packed.source('validation')[np.arange(7)]['x']
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(x, rows)
    assert plain.source('test').fingerprint == packed.source('train').fingerprint


def test_mistakes_in_tables_are_named(tmp_path):
    with pytest.raises(UserError, match='split'):
        data.Binary('dna.train.gz')
    with pytest.raises(UserError, match='no file'):
        data.Binary('{split}.gone').source('train')
    for content in ('0,2\n', '0,x\n', '0\n0,1\n'):
        (tmp_path / 'train.csv').write_text(content)
        other = data.Binary(str(tmp_path / '{split}.csv'), (f'{content[2:3]}', 'b', 'train'))
        with pytest.raises(UserError, match='no table of bits'):
            other.source('test')
        data.tables._bits.cache_clear()


def test_piano_rolls_are_padded(tmp_path):
    path = str(tmp_path / 'music.mat')
    pieces = [np.ones((n, 88), np.uint8) for n in (3, 5)]
    content = {}
    for name in ('traindata', 'validdata', 'testdata'):
        content[name] = np.empty((1, 2), object)
        content[name][0, :] = pieces
    scipy.io.savemat(path, content)
    dataset = data.PianoRolls(path, 6)
    x = dataset.source('test')[np.arange(2)]['x']
    assert dataset.event_shape == (6, 88) == x.shape[1:]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[0, :, 0], [1, 1, 1, -1, -1, -1])
    with pytest.raises(UserError, match='5 frames'):
        data.PianoRolls(path, 4).source('train')
    with pytest.raises(UserError, match='no file'):
        data.PianoRolls('gone.mat', 4).source('train')
