"""Detectors of samples, on generators that differ from the data in known ways."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from genjax.errors import UserError
from genjax.evaluation import cross_generator_ap


def test_detectors_find_what_they_were_trained_on():
    """One generator is the data's, one is shifted, one is shifted the other way."""
    random = np.random.default_rng(0)
    real, same, right, left = random.standard_normal((4, 800, 3))
    right[:, 0] += 3
    left[:, 0] -= 3
    table = cross_generator_ap(real, {'same': same, 'right': right, 'left': left})
    assert abs(table['same']['same'] - 0.5) < 0.08
    for one, other in (('right', 'left'), ('left', 'right')):
        # The area under the curve of two normals three deviations apart is .983.
        assert table[one][one] > 0.97
        # A detector of the right finds the left less often than chance.
        assert table[one][other] < 0.4


def test_the_learner_is_the_callers():
    """A linear detector finds a shift of three deviations, and not a mixture of both shifts."""
    random = np.random.default_rng(0)
    real, right, both = random.standard_normal((3, 800, 3))
    right[:, 0] += 3
    both[:, 0] += 3 * random.choice([-1, 1], 800)
    generated = {'right': right, 'both': both}
    table = cross_generator_ap(real, generated, learner=lambda seed: LogisticRegression())
    assert table['right']['right'] > 0.97 and table['both']['both'] < 0.85
    assert cross_generator_ap(real, generated)['both']['both'] > 0.9


def test_few_rows_are_named():
    with pytest.raises(UserError, match='and vae has 5'):
        cross_generator_ap(np.zeros((20, 2)), {'vae': np.zeros((5, 2))})
