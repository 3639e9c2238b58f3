"""Fréchet distances against closed forms, and against arithmetic with 50 digits."""

import json
from pathlib import Path

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.evaluation import frechet_distance, frechet_extrapolated, frechet_jackknife
from genjax.evaluation.frechet import Gaussian

EXACT = json.loads((Path(__file__).parent.parent / 'fixtures' / 'frechet.json').read_text())


def with_moments(mean, factor, count, seed=0):
    """Rows whose sample mean and covariance are exactly these (up to rounding)."""
    x = np.random.default_rng(seed).standard_normal((count, len(factor)))
    x, _ = np.linalg.qr(x - x.mean(axis=0))
    return mean + np.sqrt(count - 1) * x @ factor


@pytest.mark.parametrize('scales', [(1.0, 2.0, 0.5, 3.0), (1.0, 2.0, 0.0, 0.0), (1e-4, 1e4, 1, 0)])
def test_gaussians_with_common_axes_have_the_closed_form(scales):
    axes, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))
    other = np.array([2.0, 1.0, 0.0, 0.25])
    a = with_moments(np.zeros(4), np.diag(scales) @ axes, 50)
    b = with_moments(np.arange(4.0), np.diag(other) @ axes, 70, seed=2)
    expected = 14 + np.sum((np.array(scales) - other) ** 2)
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-6)


@pytest.mark.parametrize('case', EXACT)
def test_distances_are_those_of_fifty_digits(case):
    """Also with fewer rows than features. The fixture is made by `make_frechet.py`."""
    a, b = (np.random.RandomState(s).randn(n, case['features']) for n, s in case['samples'])
    b = 1.5 * b + 0.25
    np.testing.assert_allclose(frechet_distance(a, b), case['distance'], rtol=1e-6)


def test_moments_of_parts_are_those_of_the_whole():
    x = 100 + np.random.default_rng(0).standard_normal((200, 6)) @ np.diag([1, 1, 1, 1e-5, 0, 0])
    parts = Gaussian.of(x[:3]) + Gaussian.of(x[3:120]) + Gaussian.of(x[120:])
    assert parts.count == 200
    np.testing.assert_allclose(parts.mean, x.mean(axis=0))
    np.testing.assert_allclose(
        parts.factor.T @ parts.factor / 199, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-10
    )
    assert frechet_distance(parts, x) < 1e-9


@pytest.mark.parametrize('smallest', [1e-1, 2e-3, 1e-4, 1e-8])
def test_nearly_singular_scatters_lose_no_digits(smallest):
    """On either side of the condition from which on factors come from the rows themselves."""
    deviations = np.geomspace(smallest, 1, 6)
    x = with_moments(np.zeros(6), np.diag(deviations), 80)
    found = np.linalg.svd(Gaussian.of(x).factor, compute_uv=False)[::-1] / np.sqrt(79)
    np.testing.assert_allclose(found, deviations, rtol=1e-7)


def test_a_constant_shift_is_its_square():
    x = np.random.default_rng(0).standard_normal((40, 60))  # fewer rows than features
    np.testing.assert_allclose(frechet_distance(x, x + 2), 240, rtol=1e-9)
    assert abs(frechet_distance(x, x)) < 1e-9


def test_extrapolation_removes_the_bias_of_few_samples():
    errors, biased = [], []
    for seed in range(12):
        random = np.random.default_rng(seed)
        reference, samples = random.standard_normal((2, 600, 16))
        reference = with_moments(np.zeros(16), np.eye(16), 600)
        value, stderr = frechet_extrapolated(reference, samples, seed=seed)
        errors.append(value)
        biased.append(frechet_distance(reference, samples))
        assert 0 < stderr < 0.1
    assert np.mean(biased) > 0.05
    assert abs(np.mean(errors)) < np.mean(biased) / 5


def test_the_jackknife_has_the_spread_of_repetitions():
    values, stderrs = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        a, b = random.standard_normal((200, 3)), random.standard_normal((200, 3)) + 1
        value, stderr = frechet_jackknife(a, b)
        values.append(value)
        stderrs.append(stderr)
    assert 0.8 < np.mean(stderrs) / np.std(values) < 1.25


def test_too_few_rows_are_named():
    with pytest.raises(UserError, match='two rows'):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(UserError, match='3 and 4 features'):
        frechet_distance(np.zeros((5, 3)), np.zeros((5, 4)))
