"""The study of `experiments/epidemic`: its measures against closed forms, and a surrogate."""

import json
from pathlib import Path

import numpy as np
import pytest

import genjax
from experiments.epidemic import run as study

pytestmark = pytest.mark.slow


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    assert {row['seed'] for row in rows if row['model'] == 'flow'} == {0, 1, 2}
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


def test_distances_of_a_shift_and_their_ratio():
    a = np.random.default_rng(0).standard_normal((50, 200, 2))
    b = a + np.array([0.5, -2.0])
    np.testing.assert_allclose(study.distances(a, b), np.tile([0.5, 2.0], (50, 1)))
    floor = np.random.default_rng(1).uniform(1, 2, (4000, 2))
    found = study.ratios(floor * [1.0, 3.0] + 0.1 * np.random.default_rng(2).normal(size=(4000, 2)),
                         floor)  # fmt: skip
    np.testing.assert_allclose(found['ratio'], [1, 3], atol=0.01)
    np.testing.assert_allclose(found['stderr'], 0.1 / np.sqrt(4000) / 1.5, rtol=0.05)


class Rounded:
    """Counts that are the square of a normal variable, rounded down."""

    def encode(self, x, context):
        return np.concatenate([(x - 3 * context[:, :1]) / 0.5, context], axis=1)


def test_means_of_counts_are_those_of_draws():
    z = np.array([[1.0, 0], [0.2, 0], [4, 0]], np.float32)
    root = 3 * z[:, :1] + 0.5 * np.random.default_rng(0).standard_normal((3, 400_000))
    want = np.floor(np.maximum(root, 0) ** 2)
    found = study.mean_counts(Rounded(), z)
    assert found.shape == (3, 10)
    error = want.std(axis=1, keepdims=True) / np.sqrt(400_000)
    assert np.all(np.abs(found - want.mean(axis=1, keepdims=True)) < 5 * error)


def test_the_grid_has_the_moments_of_a_conjugate_posterior():
    x, scale = np.array([1.0, -0.5]), np.array([0.02, 0.5])

    def likelihood(z):
        return -0.5 * np.sum(((z - x) / scale) ** 2, axis=1)

    found = study.grid_posterior(likelihood, 20_000, 0)
    variance = 1 / (1 + scale**-2)
    np.testing.assert_allclose(found.std(axis=0), np.sqrt(variance), rtol=0.03)
    mean = variance * x / scale**2
    assert np.all(np.abs(found.mean(axis=0) - mean) < 5 * np.sqrt(variance / 20_000))


@pytest.mark.full
def test_a_surrogate_draws_counts_like_the_simulator(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)  # eight devices are for other tests
    z = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    each = np.repeat(z, 100, axis=0)
    first, second = (study.simulated(each, seed).reshape(40, 100, 10) for seed in range(2))
    exact = study.calibration(study.exact_likelihood, z[:20], first[:20, 0])
    assert exact['sbc_p'] > 0.001
    run = genjax.train(study.config_of('flow', 20_000, 1500), tmp_path / 'run')
    counts = study.counts_of(run, each, 0).reshape(40, 100, 10)
    found = study.ratios(study.distances(first, counts), study.distances(first, second))
    # Those of another θ are far: the surrogate follows θ.
    other = study.ratios(study.distances(first, first[::-1]), study.distances(first, second))
    assert np.mean(found['ratio']) < np.mean(other['ratio']) / 10
    width = study.calibration(study.surrogate_likelihood(run), z[:20], first[:20, 0])['deviation']
    assert exact['deviation'] / 2 < width < 2 * exact['deviation']
