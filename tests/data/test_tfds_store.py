import json
import os
import subprocess
import sys

import numpy as np
import pytest

from genjax import data
from genjax.data import tfds_store
from genjax.errors import UserError

FINGERPRINT = """
import sys, numpy as np
from genjax import data
source = data.Digits().source('train')
assert source[np.arange(3)]['x'].shape == (3, 8, 8, 1)
large = data.TFDS('digits', in_memory=False).source('train')
next(data.train_batches(large, batch_size=4, seed=0))
assert not any(name.partition('.')[0] == 'tensorflow' for name in sys.modules)
print(source.fingerprint)
"""


def start(code, data_dir):
    return subprocess.Popen(
        [sys.executable, '-W', 'error', '-c', code],
        env={**os.environ, 'TFDS_DATA_DIR': str(data_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_processes_that_prepare_at_once_agree_and_are_quiet_and_need_no_tensorflow(tmp_path):
    processes = [start(FINGERPRINT, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    expected = data.Digits().source('train').fingerprint
    assert outputs == [(f'{expected}\n', '')] * 2
    assert [path.name for path in tmp_path.iterdir()] == ['digits']
    left = {path.name for path in (tmp_path / 'digits/1.0.0').rglob('incomplete*')}
    assert not left


def test_a_copy_that_loses_the_race_is_dropped(tmp_path, monkeypatch):
    """The other process finishes between our look at the folder and our rename."""
    winner = tfds_store.prepare('digits', str(tmp_path / 'winner'))
    rename = os.rename

    def late_rename(source, target):
        if target == tmp_path / 'loser/digits/1.0.0':
            rename(winner, target)
        rename(source, target)

    monkeypatch.setattr(tfds_store.os, 'rename', late_rename)
    folder = tfds_store.prepare('digits', str(tmp_path / 'loser'))
    assert (folder / 'dataset_info.json').exists()
    assert [path.name for path in (tmp_path / 'loser').iterdir()] == ['digits']


def test_a_builder_of_ones_own_is_prepared_on_first_use(tmp_path):
    source = data.TFDS('toys.Toy', data_dir=str(tmp_path)).source('test')
    batch = source[np.arange(7)]
    rows = batch['x'][:, 0, 0, 0]
    assert sorted(rows) == list(range(7))
    np.testing.assert_array_equal(
        batch['x'], np.broadcast_to(rows[:, None, None, None], (7, 4, 6, 3))
    )
    np.testing.assert_array_equal(batch['label'], rows % 3)
    # From then on its folder is enough, like that of any other TFDS data set.
    named = data.TFDS('toy', data_dir=str(tmp_path)).source('test')
    assert named.fingerprint == source.fingerprint


def test_a_failed_preparation_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError, match=f'cannot be prepared in {tmp_path}: the disk is on fire'):
        tfds_store.prepare('toys.Broken', str(tmp_path))
    assert not list(tmp_path.glob('incomplete*'))
    assert not (tmp_path / 'broken').exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'cannot be prepared in .*TFDS_DATA_DIR'):
        data.Digits(data_dir=str(tmp_path / 'file')).source('train')


def test_a_stock_data_set_that_is_not_prepared_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    with pytest.raises(UserError, match=r'run `genjax data prepare cifar10` .*\[prepare\]'):
        data.TFDS('cifar10').source('train')
    other = str(tmp_path / 'other')
    with pytest.raises(UserError, match=f'`genjax data prepare mnist --data_dir={other}`'):
        data.TFDS('mnist', data_dir=other).source('train')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('mnsit', "there is no data set 'mnsit' .*; did you mean 'mnist'?"),
        ('digit', "did you mean 'digits'?"),
        ('gaussians/rin', "no data set 'gaussians/rin'; did you mean 'ring'?"),
        ('no.such.Builder', "'no.such.Builder' cannot be imported"),
        ('toys.Toys', "the module 'toys' has no builder 'Toys'; did you mean 'Toy'?"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        data.TFDS(name, data_dir=str(tmp_path)).source('train')
    with pytest.raises(UserError, match=message):
        tfds_store.prepare(name, str(tmp_path))


def test_preparing_a_stock_data_set_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_store.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(
        UserError, match=r"'mnist' needs TensorFlow: GENJAX_EXTRAS=prepare .*\[prepare\]"
    ):
        tfds_store.prepare('mnist', str(tmp_path))


def test_other_file_formats_are_refused(tmp_path):
    tfds_store.prepare('toys.TrainOnly', str(tmp_path))
    info = tmp_path / 'train_only/1.0.0/dataset_info.json'
    info.write_text(json.dumps({**json.loads(info.read_text()), 'fileFormat': 'tfrecord'}))
    with pytest.raises(UserError, match=r'stored as tfrecord, .* prepare it again elsewhere'):
        data.TFDS('train_only', data_dir=str(tmp_path)).source('train')


def test_what_is_prepared_leaves_out_the_unfinished_and_the_foreign(tmp_path):
    tfds_store.prepare('toys.TrainOnly', str(tmp_path))
    tfds_store.prepare('digits', str(tmp_path))
    (tmp_path / 'incomplete.x/1.0.0').mkdir(parents=True)
    (tmp_path / 'incomplete.x/1.0.0/dataset_info.json').write_text('{}')
    (tmp_path / 'other/1.0.0').mkdir(parents=True)
    (tmp_path / 'other/1.0.0/dataset_info.json').write_text('not json')
    digits, toy = tfds_store.prepared(str(tmp_path))
    assert (digits.name, digits.shape, digits.folder) == (
        'digits',
        (8, 8, 1),
        tmp_path / 'digits/1.0.0',
    )
    assert (toy.name, toy.sizes) == ('train_only', {'train': 20})
    assert toy.size > 0
