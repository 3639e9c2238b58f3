import tracemalloc

import numpy as np

from genjax.sampling import npz


def parts(num, size, shape):
    for start in range(0, num, size):
        n = min(size, num - start)
        x = np.random.RandomState(start).randint(0, 256, (n, *shape)).astype(np.float32)
        yield {'x': x - 0.25, 'label': np.arange(start, start + n, dtype=np.int32)}


def test_the_archive_is_what_numpy_reads(tmp_path):
    with (tmp_path / 'a.npz').open('wb') as file:
        npz.write(file, parts(21, 8, (2, 3)), 21)
    want = {n: np.concatenate([p[n] for p in parts(21, 8, (2, 3))]) for n in ('x', 'label')}
    with np.load(tmp_path / 'a.npz') as stored:
        assert set(stored) == {'x', 'label'}
        for name, array in want.items():
            assert stored[name].dtype == array.dtype
            np.testing.assert_array_equal(stored[name], array)


def test_memory_does_not_grow_with_the_length(tmp_path):
    with (tmp_path / 'a.npz').open('wb') as file:
        tracemalloc.start()
        npz.write(file, parts(2000, 20, (32, 32)), 2000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    part = 20 * 32 * 32 * 4
    assert peak < 20 * part < 2000 * 32 * 32
