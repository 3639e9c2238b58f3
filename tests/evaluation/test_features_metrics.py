"""The kernel distance and the Vendi score, against their definitions."""

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.evaluation import kernel_distance, vendi_score


def unbiased(x, y):
    """Gretton et al., 2012, eq. 3, by its sums."""

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n = len(x)
    within = sum(kernel(a, a).sum() - np.trace(kernel(a, a)) for a in (x, y))
    return within / (n * (n - 1)) - 2 * kernel(x, y).mean()


def test_the_kernel_distance_is_the_mean_of_its_blocks():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((90, 6)), random.standard_normal((95, 6)) + 0.3
    value, stderr = kernel_distance(x, y, block=40, seed=3)
    order = np.random.default_rng(3)
    x, y = (a[order.permutation(len(a))[:80]].reshape(2, 40, 6) for a in (x, y))
    estimates = [unbiased(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(value, np.mean(estimates), rtol=1e-10)
    np.testing.assert_allclose(stderr, abs(np.diff(estimates)[0]) / 2, rtol=1e-10)


def test_the_kernel_distance_of_equal_distributions_is_zero_on_average():
    values = [
        kernel_distance(*np.random.default_rng(s).standard_normal((2, 80, 5)), block=40)[0]
        for s in range(200)
    ]
    assert abs(np.mean(values)) < 2 * np.std(values) / np.sqrt(200)


@pytest.mark.parametrize('shape', [(30, 5), (5, 30)])
def test_the_vendi_score_is_that_of_the_kernel_matrix(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(rows @ rows.T / len(x))
    shares = shares[shares > 1e-14]
    np.testing.assert_allclose(vendi_score(x), np.exp(-np.sum(shares * np.log(shares))))


def test_the_vendi_score_counts_directions():
    np.testing.assert_allclose(vendi_score(np.repeat(3 * np.eye(4), 5, axis=0)), 4)
    np.testing.assert_allclose(vendi_score(np.ones((9, 2))), 1)
    with pytest.raises(UserError, match='row 1 is zero'):
        vendi_score(np.array([[1.0, 2], [0, 0]]))
