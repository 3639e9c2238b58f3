"""Modes of stacked digits, on samples whose figures are known."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.data import Chain, Digits, Scale, Stacked
from genjax.errors import UserError
from genjax.evaluation import ClassModes, EvaluationData
from genjax.evaluation.class_modes import modes_kl, stacked_modes

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Stacks:
    """Training pictures at random in the channels, of the first `classes` digits."""

    classes: int = 10

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, 8, 8, 3] in [-1, 1]."""
        source = Digits().source('train')
        pictures = source[np.arange(len(source))]
        x = jnp.asarray(pictures['x'][pictures['label'] < self.classes, ..., 0])
        rows = jax.random.randint(key, (num, 3), 0, len(x))
        return jnp.moveaxis(x[rows], 1, -1) / 127.5 - 1


def _judge(model, dataset, num_samples):
    data = EvaluationData(dataset, 'test', lambda size: (), Chain((Scale(-1.0, 1.0),)))
    return ClassModes(num_samples, batch_size=4000)(model, {}, data, KEY)


@pytest.mark.full
def test_stacks_of_real_digits_show_all_modes_and_reach_the_floor():
    figures = _judge(Stacks(), Stacked(), 26_000)
    assert figures['modes'] == figures['num_modes'] == 1000
    assert figures['kl_floor'] == pytest.approx(999 / 52_000)
    # 2N KL is χ² of 999 degrees; the classifier's few mistakes add a little.
    low, high = stats.chi2.ppf([1e-3, 1 - 1e-3], 999) / 52_000
    assert low < figures['kl'] < high + 0.003
    assert figures['classifier'] >= 0.98
    assert figures['protocol'] == 'svm, 26000 samples'


def test_lost_classes_are_lost_modes():
    figures = _judge(Stacks(classes=2), Stacked(), 4000)
    labels = Digits().source('train')[np.arange(1297)]['label']
    assert figures['modes'] < 20  # 8, and what the classifier mistakes
    assert figures['kl'] == pytest.approx(-3 * math.log(np.mean(labels < 2)), abs=0.1)


def test_modes_are_numbered_like_the_labels_of_stacks():
    examples = Stacked(train_size=200).source('train')[np.arange(200)]
    base = Digits().source('train')[np.arange(1297)]
    label_of = {x.tobytes(): label for x, label in zip(base['x'], base['label'], strict=True)}

    def classifier(x):
        return np.array([label_of[np.ascontiguousarray(row).tobytes()] for row in x])

    np.testing.assert_array_equal(stacked_modes(examples['x'], classifier, 10), examples['label'])


def test_the_kl_by_hand():
    even = np.full(4, 0.25)
    assert modes_kl(np.array([5, 5, 5, 5]), even) == 0
    assert modes_kl(np.array([3, 0, 0, 0]), even) == pytest.approx(math.log(4))
    assert modes_kl(np.array([3, 1]), np.array([0.2, 0.8])) == pytest.approx(
        0.75 * math.log(0.75 / 0.2) + 0.25 * math.log(0.25 / 0.8)
    )
    assert modes_kl(np.array([1, 1]), np.array([1.0, 0.0])) == math.inf


def test_data_that_are_not_stacked_are_refused():
    with pytest.raises(UserError, match=r'\(Stacked\), not Digits'):
        _judge(Stacks(), Digits(), 10)
