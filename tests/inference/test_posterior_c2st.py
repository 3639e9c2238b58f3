"""The benchmark's classifier is scikit-learn's, and finds what is to be found."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from genjax.inference import posterior_c2st
from tests.tiers import full

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('shift', [full(0.0), 2.0])
def test_it_is_that_of_sklearn(shift):
    random = np.random.default_rng(0)
    reference, samples = random.standard_normal((2, 501, 2))
    samples[:, 1] += shift
    found = posterior_c2st(reference, samples)
    x = np.concatenate([reference, samples])
    x = (x - reference.mean(axis=0)) / reference.std(axis=0, ddof=1)
    label = np.repeat([0, 1], 501)
    learner = MLPClassifier((20, 20), max_iter=10_000, random_state=1)
    want = cross_val_score(learner, x, label, cv=KFold(5, shuffle=True, random_state=1)).mean()
    # Same folds, other initial weights and batches.
    assert found == pytest.approx(want, abs=0.04)
    assert found == pytest.approx(norm.cdf(shift / 2), abs=0.06)
