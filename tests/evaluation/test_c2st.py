"""The classifier two-sample test on pairs of distributions whose best accuracy is known."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.data import Chain, Scale
from genjax.errors import UserError
from genjax.evaluation import C2ST, EvaluationData
from genjax.evaluation.c2st import c2st

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def normal(seed, size, shift=0.0, scale=1.0):
    return shift + scale * np.random.RandomState(seed).standard_normal((size, 4))


@pytest.mark.parametrize('classifier', ['mlp', 'logistic'])
def test_equal_distributions_cannot_be_told_apart(classifier):
    accuracy, stderr = c2st(normal(0, 400), normal(1, 400), classifier=classifier)
    assert stderr == pytest.approx(np.sqrt(0.25 / 800), rel=0.05)
    assert abs(accuracy - 0.5) < 4 * stderr


def test_what_is_far_apart_is_told_every_time():
    assert c2st(normal(0, 200), normal(1, 300, shift=9)) == (1.0, 0.0)


def test_a_shift_is_told_as_often_as_can_be():
    """Of two normals at a distance of d, the best rule is right with probability Φ(d / 2)."""
    accuracy, stderr = c2st(normal(0, 1000), normal(1, 1000, shift=0.5), classifier='logistic')
    assert accuracy == pytest.approx(stats.norm.cdf(0.5), abs=4 * stderr)


def test_only_the_mlp_sees_more_than_means():
    pair = normal(0, 600), normal(1, 600, scale=3.0)
    assert c2st(*pair, classifier='logistic')[0] < 0.6
    assert c2st(*pair, classifier='mlp')[0] > 0.8


@dataclass(frozen=True)
class Normal:
    """Normal pictures about a mean."""

    mean: float = 0.0

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, 2, 2, 1]."""
        return self.mean + jax.random.normal(key, (num, 2, 2, 1))


def _data(size, low=0.0, preprocess=Chain()):  # noqa: B008
    x = np.random.RandomState(7).standard_normal((size, 2, 2, 1))
    x = x if not preprocess.steps else 255 * (x - low) / (1 - low)

    def batches(batch_size):
        for start in range(0, size, batch_size):
            part = jnp.asarray(np.resize(x[start : start + batch_size], (batch_size, 2, 2, 1)))
            yield {'x': part, 'mask': jnp.arange(batch_size) < size - start}

    return EvaluationData(None, 'test', batches, preprocess)


@pytest.mark.full
def test_the_evaluator_compares_in_the_space_of_the_model():
    evaluator = C2ST(num_samples=300, batch_size=128)
    for data in (_data(350), _data(350, -2.0, Chain((Scale(-2.0, 1.0),)))):
        figures = evaluator(Normal(), {}, data, KEY)
        assert figures['accuracy'] == pytest.approx(0.5, abs=0.1)
    assert figures['protocol'] == 'mlp (128,), 5-fold, 300 of test and 300 samples'
    assert evaluator(Normal(8.0), {}, _data(200), KEY)['accuracy'] == 1.0


def test_mistakes_are_refused():
    with pytest.raises(UserError, match='not finite'):
        C2ST()(Normal(float('nan')), {}, _data(20), KEY)
    with pytest.raises(UserError, match='8 examples are too few for 5 folds'):
        C2ST()(Normal(), {}, _data(8), KEY)
    with pytest.raises(UserError, match="'mlp' or 'logistic'"):
        C2ST(classifier='tree')
    with pytest.raises(UserError, match='at least 2'):
        C2ST(folds=1)
    with pytest.raises(UserError, match='no sample'):
        C2ST()(object(), {}, _data(20), KEY)
