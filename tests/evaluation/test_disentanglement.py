"""Metrics of disentanglement, on codes that are known."""

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.evaluation import dci, factor_vae_score, mig, sap

FACTORS = np.random.default_rng(0).integers(0, 8, (3000, 3))
PERFECT = FACTORS[:, [2, 0, 1]] * [0.5, -2.0, 1.0]


def rotated():
    """Two of the codes turned by 45°."""
    codes = PERFECT / PERFECT.std(axis=0)
    return np.stack([codes[:, 0] + codes[:, 1], codes[:, 0] - codes[:, 1], codes[:, 2]], axis=1)


def test_perfect_codes():
    assert mig(PERFECT, FACTORS) > 0.99
    assert sap(PERFECT, FACTORS) > 0.99
    assert dci(PERFECT, FACTORS) == (1, 1, 1)


def test_rotated_codes():
    """One factor of three keeps its code."""
    assert 0.3 < mig(rotated(), FACTORS) < 0.37
    assert 0.3 < sap(rotated(), FACTORS) < 0.4
    found = dci(rotated(), FACTORS)
    assert found.disentanglement < 0.65 and found.completeness < 0.65
    assert found.informativeness > 0.99


def test_noise():
    codes = np.random.default_rng(1).standard_normal((3000, 3))
    assert mig(codes, FACTORS) < 0.01 and sap(codes, FACTORS) < 0.01
    found = dci(codes, FACTORS)
    assert found.disentanglement < 0.01 and found.informativeness < 0.2


def test_information_is_that_of_scikit_learn():
    from sklearn.metrics import mutual_info_score

    from genjax.evaluation.disentanglement import _binned, _mutual_information

    code = np.random.default_rng(2).standard_normal(500)
    binned = _binned(code, 20)
    assert binned.min() == 0 and binned.max() == 19
    np.testing.assert_allclose(
        _mutual_information(binned, FACTORS[:500, 0]),
        mutual_info_score(binned, FACTORS[:500, 0]),
    )


def draw(generator, factor, num):
    x = generator.integers(0, 8, (num, 3))
    if factor >= 0:
        x[:, factor] = x[0, factor]
    return x


def test_the_factor_vae_score():
    assert factor_vae_score(lambda x: x[:, [2, 0, 1]] * [0.5, -2, 1], draw, 3) == 1
    # A dead code varies least in every group, and is not counted.
    assert factor_vae_score(lambda x: np.column_stack([x, 1e-3 * x[:, 0]]), draw, 3) == 1
    noise = np.random.default_rng(0)
    score = factor_vae_score(lambda x: noise.standard_normal((len(x), 3)), draw, 3)
    assert score < 0.45


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(UserError, match=r'shapes \(3, 2\) and \(4, 2\)'):
        mig(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(UserError, match='factor 1 has one value'):
        mig(PERFECT[:5], np.array([[0, 1], [1, 1], [2, 1], [0, 1], [1, 1]]))
