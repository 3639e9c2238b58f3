import collections
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from scipy import stats
from sklearn.datasets import load_digits

from genjax import data
from genjax.data import datasets
from genjax.errors import UserError

pytestmark = pytest.mark.slow

SPLITS = {'train': 1297, 'validation': 200, 'test': 300}


def everything(source):
    return source[np.arange(len(source))]


def test_digits_are_scikit_learns_each_in_one_split():
    table = load_digits()
    pixels = np.round(table.images * (255 / 16)).astype(np.uint8)
    expected = collections.Counter(
        (image.tobytes(), int(label)) for image, label in zip(pixels, table.target, strict=True)
    )
    found = collections.Counter()
    for split, size in SPLITS.items():
        batch = everything(data.Digits().source(split))
        assert batch['x'].shape == (size, *data.Digits.event_shape)
        assert batch['x'].dtype == np.uint8
        assert batch['label'].dtype == np.int32
        found.update(zip((x.tobytes() for x in batch['x']), batch['label'].tolist(), strict=True))
    assert found == expected


def test_digits_splits_have_every_class_in_its_proportion():
    overall = np.bincount(load_digits().target) / 1797
    for split, size in SPLITS.items():
        counts = np.bincount(everything(data.Digits().source(split))['label'], minlength=10)
        assert np.abs(counts - size * overall).max() < 2


def test_digits_never_change():
    """Figures of different releases can be compared only while the rows of each split stay."""
    fingerprints = {split: data.Digits().source(split).fingerprint[:16] for split in SPLITS}
    assert fingerprints == {
        'train': '534d0a0846ad4f86',
        'validation': 'ab155e6721773f34',
        'test': '97a1f9fbc28ce949',
    }


@pytest.mark.full
@pytest.mark.parametrize('layout', ['ring', 'grid'])
def test_gaussians_have_the_density_that_is_claimed(layout):
    dataset = data.Gaussians(layout)
    batch = everything(dataset.source('test'))
    x, label = batch['x'], batch['label']
    assert x.dtype == np.float32 and x.shape == (10_000, 2)
    standard = (x - dataset.centres[label]) / dataset.scale
    for axis in range(2):
        assert stats.kstest(standard[:, axis], 'norm').pvalue > 1e-3
    counts = np.bincount(label, minlength=dataset.num_classes)
    assert stats.chisquare(counts).pvalue > 1e-3
    # Components hardly overlap, so that the entropy is log K plus that of one of them.
    entropy = np.log(dataset.num_classes) + 1 + np.log(2 * np.pi * dataset.scale**2)
    assert np.mean(dataset.log_prob(x)) == pytest.approx(-entropy, abs=4 / np.sqrt(len(x)))


@pytest.mark.parametrize('layout', ['ring', 'grid'])
def test_gaussians_log_prob_against_scipy(layout):
    dataset = data.Gaussians(layout)
    near = dataset.source('validation')[np.arange(50)]['x']
    x = np.concatenate([near, np.random.RandomState(0).uniform(-1, 1, (50, 2))]).astype(np.float32)
    components = [
        stats.multivariate_normal(centre, dataset.scale**2).logpdf(x.astype(np.float64))
        for centre in dataset.centres
    ]
    expected = np.logaddexp.reduce(components, axis=0) - np.log(len(dataset.centres))
    np.testing.assert_allclose(dataset.log_prob(x), expected, rtol=1e-4, atol=2e-3)


def test_gaussians_lie_where_the_paper_puts_them():
    ring, grid = data.Gaussians('ring'), data.Gaussians('grid')
    np.testing.assert_allclose(np.linalg.norm(ring.centres, axis=1), 1)
    assert (len(ring.centres), ring.scale) == (8, 0.01)
    assert sorted(map(tuple, grid.centres)) == [
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    ]
    assert grid.scale == 0.05


def test_an_unknown_layout_is_refused():
    with pytest.raises(UserError, match="no layout 'rings'; did you mean 'ring'"):
        data.Gaussians('rings')


@pytest.mark.parametrize(
    ('features', 'line'),
    [
        (
            {'fine': tfds.features.ClassLabel(num_classes=9), 'coarse': tfds.features.ClassLabel()},
            "'coarse' and 'fine' are class labels; name one with label_key",
        ),
        ({'label': tfds.features.Scalar(np.int64)}, "'label' is int64 without a number of classes"),
        ({'label': tfds.features.Text()}, "'label' is text"),
        ({'point': tfds.features.Tensor(shape=(2,), dtype=np.float32)}, "none of .*'point'"),
    ],
    ids=['two', 'integer', 'text', 'none'],
)
def test_why_data_have_no_labels_is_said(features, line):
    assert re.search(line, datasets._why_no_labels(features))
