"""Precision, recall, density, coverage, and tests for copies, against brute force and theory."""

import math

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.evaluation import authenticity, copying_ct, copying_z, nearest, prdc


def distances(x, y):
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def brute_force(real, fake, k):
    radii, fake_radii = (np.sort(distances(x, x), axis=1)[:, k] for x in (real, fake))
    across = distances(real, fake)
    return (
        (across < radii[:, None]).any(axis=0).mean(),
        (across < fake_radii).any(axis=1).mean(),
        (across < radii[:, None]).sum() / len(fake) / k,
        (across.min(axis=1) < radii).mean(),
    )


@pytest.mark.parametrize('chunk', [7, 64, 1024])
def test_prdc_is_that_of_brute_force(chunk):
    random = np.random.default_rng(0)
    real = 1000 + random.standard_normal((128, 5)).astype(np.float32)
    fake = 1000 + 1.2 * random.standard_normal((150, 5)).astype(np.float32)
    np.testing.assert_allclose(
        prdc(real, fake, k=3, chunk=chunk),
        brute_force(real.astype(float), fake.astype(float), 3),
        rtol=1e-12,
    )


def test_coverage_and_density_of_equal_distributions_are_their_expectations():
    """Naeem et al., 2020, lemma 2 and section 3.3: 1 - Π (n - i) / (n + m - i), and 1."""
    n, m, k = 100, 120, 4
    runs = np.array(
        [
            prdc(*(np.random.default_rng([s, i]).standard_normal((size, 3))
                   for i, size in enumerate((n, m))), k=k)
            for s in range(60)
        ]
    )  # fmt: skip
    coverage = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    means, errors = runs.mean(axis=0), runs.std(axis=0) / math.sqrt(len(runs))
    assert abs(means[3] - coverage) < 3 * errors[3] < 0.01
    assert abs(means[2] - 1) < 3 * errors[2] < 0.1


def test_duplicates_have_no_ball():
    real = np.repeat(np.arange(4.0)[:, None], 5, axis=0)
    assert prdc(real, real, k=3) == (0, 0, 0, 0)


def test_the_nearest_row_is_found():
    train = np.arange(12.0).reshape(6, 2)
    distance, index = nearest(train[[4, 1]] + [0.0, 0.5], train)
    assert index.tolist() == [4, 1]
    np.testing.assert_allclose(distance, 0.5)


def test_copies_reach_the_bound_and_fresh_samples_do_not():
    random = np.random.default_rng(0)
    train, test, fresh = random.standard_normal((3, 300, 4))
    found = copying_z(train, test, train)
    bound = -math.sqrt(3 * 300 * 300 / 601)
    np.testing.assert_allclose([found.z, found.bound], bound, rtol=1e-12)
    assert found.p < 1e-90
    zs = [copying_z(*np.random.default_rng(s).standard_normal((3, 100, 4))).z for s in range(40)]
    assert abs(np.mean(zs)) < 0.5 and 0.7 < np.std(zs) < 1.4
    # One sample in five is a copy.
    fresh[:60] = train[:60]
    assert copying_z(train, test, fresh).p < 0.01


def test_copies_in_one_cell_are_found():
    random = np.random.default_rng(0)
    centres = 20 * np.arange(4)[:, None]
    train, test, fresh = ((centres[:, None] + random.standard_normal((4, 80, 2))) for _ in range(3))
    fresh[0] = train[0] + 1e-3
    # Far enough to hide the copies in the mean over all cells.
    fresh[1:] += 0.5 * random.standard_normal((3, 80, 2))
    whole = [x.reshape(-1, 2) for x in (train, test, fresh)]
    value, cells = copying_ct(*whole, cells=4)
    each = [copying_z(train[c], test[c], fresh[c]).z for c in range(4)]
    assert cells == 4
    np.testing.assert_allclose(value, np.mean(each), atol=1e-9)
    assert each[0] < -10 < min(each[1:])
    with pytest.raises(UserError, match='none of 300 cells'):
        copying_ct(*whole, cells=300)


def test_authenticity_is_that_of_brute_force():
    random = np.random.default_rng(0)
    train, samples = random.standard_normal((80, 3)), random.standard_normal((50, 3))
    across = distances(samples, train)
    own = np.sort(distances(train, train), axis=1)[:, 1]
    expected = np.mean(across.min(axis=1) > own[across.argmin(axis=1)])
    assert authenticity(train, samples) == expected
    assert authenticity(train, train[:20]) == 0


def test_too_few_rows_are_named():
    with pytest.raises(UserError, match='k=5 neighbours need more rows than 5'):
        prdc(np.zeros((5, 2)), np.zeros((9, 2)))
