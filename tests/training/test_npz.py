import tracemalloc

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.training import npz


def parts(num, size, shape):
    for start in range(0, num, size):
        n = min(size, num - start)
        x = np.random.RandomState(start).randint(0, 256, (n, *shape)).astype(np.float32)
        yield {'x': x - 0.25, 'label': np.arange(start, start + n, dtype=np.int32)}


def read(path):
    with np.load(path) as stored:
        return dict(stored)


@pytest.mark.parametrize('dtype', [None, 'float32', 'uint8'])
def test_the_archive_is_what_numpy_reads(tmp_path, dtype):
    path = tmp_path / 'a.npz'
    with path.open('wb') as file:
        npz.write(file, parts(21, 8, (2, 3)), 21, dtype)
    stored = read(path)
    x, label = (np.concatenate([p[name] for p in parts(21, 8, (2, 3))]) for name in ('x', 'label'))
    assert stored['x'].dtype == (dtype or np.float32)
    np.testing.assert_array_equal(stored['x'], np.rint(x) if dtype == 'uint8' else x)
    np.testing.assert_array_equal(stored['label'], label)


def test_memory_does_not_grow_with_the_length(tmp_path):
    with (tmp_path / 'a.npz').open('wb') as file:
        tracemalloc.start()
        npz.write(file, parts(2000, 20, (32, 32)), 2000, 'uint8')
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    part = 20 * 32 * 32 * 4
    assert peak < 20 * part < 2000 * 32 * 32


def test_what_bytes_do_not_hold_is_refused(tmp_path):
    with (tmp_path / 'a.npz').open('wb') as file, pytest.raises(UserError, match='-3 to 2 are no'):
        npz.write(file, [{'x': np.array([[-3.0, 2.0]])}], 1, 'uint8')
