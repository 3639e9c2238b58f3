"""The maximum mean discrepancy against its definition and against closed forms."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Density, Gaussians, eval_batches
from genjax.errors import UserError
from genjax.evaluation import MMD, EvaluationData, Outliers
from genjax.evaluation.mmd import median_distance, mmd2
from genjax.evaluation.outliers import outlier_share
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def normal(seed, *shape):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def by_definition(x, y, bandwidths):
    def kernel(a, b):
        return np.mean([np.exp(-np.sum((a - b) ** 2) / (2 * h**2)) for h in bandwidths])

    n, m = len(x), len(y)
    within_x = [kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j]
    within_y = [kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j]
    across = [kernel(a, b) for a in x for b in y]
    return np.mean(within_x) + np.mean(within_y) - 2 * np.mean(across)


@pytest.mark.parametrize('chunk', [1, 7, 13, 256])
def test_the_estimate_is_that_of_the_definition(chunk):
    x, y = normal(0, 13, 3), 0.5 * normal(1, 9, 3) + 1
    want = by_definition(x.astype(float), y.astype(float), (0.7, 2.0))
    got = jax.jit(mmd2, static_argnums=3)(x, y, jnp.array([0.7, 2.0]), chunk)
    assert float(got) == pytest.approx(want, abs=2e-6)


def test_the_biased_one_counts_a_point_with_itself():
    x, y = normal(0, 13, 3), 0.5 * normal(1, 9, 3) + 1
    both = np.concatenate([x, y]).astype(float)
    kernel = np.exp(-np.sum((both[:, None] - both) ** 2, axis=-1) / 2)
    sign = np.concatenate([np.full(13, 1 / 13), np.full(9, -1 / 9)])
    got = mmd2(x, y, jnp.array([1.0]), biased=True)
    assert float(got) == pytest.approx(sign @ kernel @ sign, abs=2e-6)


def closed_form(shift, scale, bandwidth, dims):
    """Squared MMD of N(0, I) and N(shift, scale² I): kernels of normals are integrals of normals.

    E k(a, b) for a - b ~ N(u, s² I) is (h² / (h² + s²))^(D/2) exp(-|u|² / 2(h² + s²)).
    """

    def mean_kernel(u, variance):
        total = bandwidth**2 + variance
        return (bandwidth**2 / total) ** (dims / 2) * np.exp(-dims * u**2 / (2 * total))

    across = mean_kernel(shift, 1 + scale**2)
    return mean_kernel(0, 2.0) + mean_kernel(0, 2 * scale**2) - 2 * across


@pytest.mark.parametrize(('shift', 'scale'), [(0.0, 1.0), (0.5, 1.0), (0.0, 1.5)])
def test_the_estimate_is_unbiased_for_normals(shift, scale):
    """The mean of 200 estimates from 50 points each, within 4 standard errors."""
    estimate = jax.jit(jax.vmap(lambda x, y: mmd2(x, y, jnp.array([1.3]))))
    values = np.asarray(estimate(normal(0, 200, 50, 2), shift + scale * normal(1, 200, 50, 2)))
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - closed_form(shift, scale, 1.3, 2)) < 4 * error
    assert np.any(values < 0) or shift


def test_the_median_distance():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    assert median_distance(x) == pytest.approx(np.median([5, 1, np.hypot(3, 3)]))
    # Between standard normals in the plane the squared distance is 2 χ² of 2 degrees.
    assert median_distance(normal(0, 4000, 2)) == pytest.approx(np.sqrt(4 * np.log(2)), rel=0.03)


@dataclass(frozen=True)
class Points:
    """The grid of Gaussians, moved, or points from nowhere near."""

    shift: float = 0.0
    far: float = 0.0

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, 2]."""
        which, noise, lost = jax.random.split(key, 3)
        data = Gaussians('grid')
        centres = jnp.asarray(data.centres, jnp.float32)
        x = centres[jax.random.randint(which, (num,), 0, 25)]
        x += data.scale * jax.random.normal(noise, (num, 2)) + self.shift
        return jnp.where(jax.random.bernoulli(lost, self.far, (num, 1)), 100.0, x)


def _data(dataset):
    def batches(size):
        for batch in eval_batches(dataset.source('test'), batch_size=size):
            yield jax.device_put(batch)

    return EvaluationData(dataset, 'test', batches, Chain(()))


def test_the_evaluator_sees_a_shift_and_no_difference_where_there_is_none():
    evaluator = MMD(num_samples=2000, batch_size=300)
    same = evaluator(Points(), {}, _data(Gaussians('grid')), KEY)
    assert abs(same['mmd2']) < 5e-4
    assert evaluator(Points(1.0), {}, _data(Gaussians('grid')), KEY)['mmd2'] > 0.01
    assert same['protocol'].endswith('2000 of test and 2000 samples')
    fixed = MMD(500, bandwidths=(0.1, 1.0))(Points(), {}, _data(Gaussians('grid')), KEY)
    assert fixed['protocol'] == 'bandwidths 0.1, 1, 500 of test and 500 samples'
    with pytest.raises(UserError, match='positive'):
        MMD(bandwidths=(0.0,))


@pytest.mark.parametrize(('far', 'expected'), [full(0.0, 0.01), (0.2, 0.2 + 0.8 * 0.01)])
def test_outliers_are_the_share_that_data_never_reach(far, expected):
    evaluator = Outliers(num_samples=20_000, quantile=0.01)
    figures = evaluator(Points(far=far), {}, _data(Gaussians('grid')), KEY)
    assert figures['outliers'] == pytest.approx(expected, abs=4 * figures['stderr'] + 0.001)
    # Of a round normal in the plane, -2 log of the density's ratio to its peak is χ² of 2 degrees.
    peak = -np.log(25) - np.log(2 * np.pi * 0.05**2)
    assert figures['threshold'] == pytest.approx(peak + np.log(0.01), abs=0.2)
    assert figures['protocol'] == '0.01 of 100000 data, 20000 samples'


def test_outliers_by_hand_and_on_a_bounded_support():
    log_prob, reference = np.array([0.0, -5.0, np.nan, -np.inf]), np.arange(-4.0, 1.0)
    assert outlier_share(log_prob, reference, 0.25) == 0.75
    board = Density('checkerboard', train_size=1000)
    figures = Outliers(num_samples=500)(Points(far=1.0), {}, _data(board), KEY)
    assert figures['outliers'] == 1.0
    with pytest.raises(UserError, match='must be between'):
        Outliers(quantile=0.0)


def test_outliers_need_a_known_density():
    from genjax.data import Digits

    with pytest.raises(UserError, match='not Digits'):
        Outliers()(Points(), {}, _data(Digits()), KEY)
