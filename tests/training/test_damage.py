"""A checkpoint with a damaged file is never taken as good."""

import os
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.training import checksums
from genjax.training.checkpoints import Checkpoints


def _flip(path, generator):
    content = bytearray(path.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def _cut(path, generator):
    os.truncate(path, generator.randrange(path.stat().st_size))


def _delete(path, _):
    path.unlink()


def _zero(path, _):
    path.write_bytes(bytes(path.stat().st_size))


def _grow(path, generator):
    path.write_bytes(path.read_bytes() + generator.randbytes(3))


def _state(seed):
    return {'a': jax.random.normal(jax.random.key(seed), (64, 33)), 'n': jnp.int32(seed)}


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sound') / 'checkpoints'
    with Checkpoints(folder, best='nll') as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, _state(step), {'nll': 1.0 / step}, {'loss': [0.25, 3]})
            checkpoints.wait()
    return folder


def damaged_is_not_restored(sound, folder, generator):
    """Damages a file of step 2 in some way; restores step 1."""
    shutil.copytree(sound, folder)
    files = [p for p in sorted((folder / '2').rglob('*')) if p.is_file() and p.stat().st_size]
    # Orbax writes these when a save ends, and reads none.
    files = [p for p in files if p.name != 'commit_success.txt' or p.parent.name == 'state']
    file, how = generator.choice(files), generator.choice([_flip, _cut, _delete, _zero, _grow])
    how(file, generator)
    name = f'{how.__name__} {file.relative_to(folder)}'
    target = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), _state(0)
    )
    with Checkpoints(folder, best='nll') as checkpoints:
        step, state = checkpoints.restore(target)
    assert step == 1, name
    for found, saved in zip(jax.tree.leaves(state), jax.tree.leaves(_state(1)), strict=True):
        np.testing.assert_array_equal(found, saved, name)
    assert not (folder / '2').exists() and (folder.parent / 'damaged_checkpoints').exists(), name


def test_damaged_files(sound, tmp_path):
    for seed in range(8):
        damaged_is_not_restored(sound, tmp_path / str(seed) / 'c', random.Random(seed))


@pytest.mark.full
def test_a_hundred_damaged_files(sound, tmp_path):
    for seed in range(100, 200):
        damaged_is_not_restored(sound, tmp_path / str(seed) / 'c', random.Random(seed))


def test_a_sound_checkpoint_has_no_damage(sound):
    assert [checksums.damage(sound / step) for step in '12'] == [None, None]
