import numpy as np
import pytest
from scipy import stats

from genjax import data
from genjax.data.toy.densities import DENSITIES
from genjax.errors import UserError

REACH, SIDE = 6.0, 1200
LINE = (np.arange(SIDE) + 0.5) / SIDE * 2 * REACH - REACH
GRID = np.stack(np.meshgrid(LINE, LINE, indexing='ij'), axis=-1).reshape(-1, 2)
BLOCKS = 12  # along a side, for counting points


@pytest.fixture(params=DENSITIES)
def dataset(request):
    return data.Density(request.param, train_size=20_000)


@pytest.fixture
def masses(dataset):
    """The probability of each cell of the grid, by its density in the middle."""
    return np.exp(np.asarray(dataset.log_prob(GRID), np.float64)) * (2 * REACH / SIDE) ** 2


def test_the_density_integrates_to_one(masses):
    assert masses.sum() == pytest.approx(1, abs=1e-4)


def test_points_have_the_density_that_is_claimed(dataset, masses):
    side = SIDE // BLOCKS
    expected = masses.reshape(BLOCKS, side, BLOCKS, side).sum(axis=(1, 3)).ravel()
    x = dataset.source('test')[np.arange(10_000)]['x']
    edges = np.linspace(-REACH, REACH, BLOCKS + 1)
    counts = np.histogram2d(x[:, 0], x[:, 1], (edges, edges))[0].ravel()
    often = expected * 10_000 > 5
    counts = np.append(counts[often], counts[~often].sum())
    expected = np.append(expected[often], 1 - expected[often].sum()) * 10_000
    if expected[-1] < 5:
        counts, expected = counts[:-1], expected[:-1] * counts[:-1].sum() / expected[:-1].sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_every_point_is_possible_and_has_the_label_of_its_part(dataset):
    for split, size in (('train', 20_000), ('validation', 10_000), ('test', 10_000)):
        source = dataset.source(split)
        batch = source[np.arange(len(source))]
        assert batch['x'].shape == (size, 2) and batch['x'].dtype == np.float32
        assert np.all(np.isfinite(dataset.log_prob(batch['x'])))
        counts = np.bincount(batch['label'], minlength=dataset.num_classes)
        assert stats.chisquare(counts).pvalue > 1e-3
    assert source.fingerprint == dataset.source('test').fingerprint
    assert source.fingerprint != dataset.source('validation').fingerprint


def test_rings_have_the_radii_that_they_are_given():
    dataset = data.Density('rings', train_size=20_000)
    batch = dataset.source('train')[np.arange(20_000)]
    radius = np.linalg.norm(batch['x'], axis=1)
    for label, want in enumerate((1, 2, 3)):
        # of a Rice distribution, to first order in the variance of the noise
        mean = np.mean(radius[batch['label'] == label])
        assert mean == pytest.approx(want + 0.15**2 / (2 * want), abs=0.01)


def test_what_does_not_exist_is_refused():
    with pytest.raises(UserError, match="no density 'ring'; did you mean 'rings'"):
        data.Density('ring')
    with pytest.raises(UserError, match="no split 'tests'; did you mean 'test'"):
        data.Density('rings').source('tests')
