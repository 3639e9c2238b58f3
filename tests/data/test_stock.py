"""Stock TFDS data sets: MNIST as prepared here, against the files that it is made from."""

import gzip
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genjax import cli, data

SHARED = Path(os.environ.get('GENJAX_SHARED', Path(__file__).parents[3] / 'shared')) / 'data'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason='needs the original files ($GENJAX_SHARED)'),
    pytest.mark.skipif(
        importlib.util.find_spec('tensorflow') is None, reason='preparing needs TensorFlow'
    ),
    pytest.mark.filterwarnings('default'),  # TensorFlow's own
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """MNIST and its fixed binarisation, prepared by `genjax data prepare` without a network."""
    folder = str(tmp_path_factory.mktemp('stock'))
    script = SHARED / 'stage_tfds_downloads.py'
    names = ['mnist', 'binarized_mnist']
    stage = [sys.executable, script, f'--data_dir={folder}', f'--datasets={",".join(names)}']
    subprocess.run(stage, check=True, stdout=subprocess.DEVNULL)
    for name in names:
        assert cli.main(['data', 'prepare', name, f'--data_dir={folder}']) == 0
    return folder


def pictures(name):
    with gzip.open(SHARED / 'mnist' / name) as file:
        return np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 28, 28, 1)


def everything(source):
    return source[np.arange(len(source))]['x']


def in_order(x):
    return np.sort(x.reshape(len(x), -1).view(f'V{x[0].size}').ravel())


def test_mnist(folder):
    dataset = data.TFDS('mnist', data_dir=folder)
    assert (dataset.event_shape, dataset.num_classes) == ((28, 28, 1), 10)
    train, validation, test = (
        everything(dataset.source(split)) for split in ('train', 'validation', 'test')
    )
    assert (len(train), len(validation), len(test)) == (54_000, 6_000, 10_000)
    together = np.concatenate([train, validation])
    original = pictures('train-images-idx3-ubyte.gz')
    assert (in_order(together) == in_order(original)).all()
    assert (in_order(test) == in_order(pictures('t10k-images-idx3-ubyte.gz'))).all()


def test_binarized_mnist_has_the_range_of_pictures(folder):
    dataset = data.TFDS('binarized_mnist', data_dir=folder)
    for split, size in {'train': 50_000, 'validation': 10_000, 'test': 10_000}.items():
        x = everything(dataset.source(split))
        assert len(x) == size
        assert np.unique(x).tolist() == [0, 255]
    assert dataset.num_classes is None
