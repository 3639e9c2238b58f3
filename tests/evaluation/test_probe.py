"""Classifiers of features that learn from few labels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Digits, Jars, Labelled, Scale
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, Probe
from genjax.evaluation.probe import LEARNERS, fit_probe

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Flat:
    """Its features are the data, in another unit."""

    def features(self, variables, x):
        return 1000 * x.reshape(len(x), -1).astype(jnp.float32) + 7


def _data(dataset, split='test'):
    return EvaluationData(dataset, split, lambda size: (), Chain((Scale(),)))


def _moons(num, seed):
    random = np.random.RandomState(seed)
    angle, side = random.uniform(0, np.pi, num), np.arange(num) % 2
    x = np.stack([np.cos(angle), np.sin(angle)], 1) * np.where(side, -1, 1)[:, None]
    return x + side[:, None] * [1, 0.5] + 0.05 * random.standard_normal((num, 2)), side


@pytest.mark.parametrize('learner', LEARNERS)
def test_distant_classes_are_told_apart_in_any_unit(learner):
    random = np.random.RandomState(0)
    label = np.repeat([0, 1, 2], 8)
    x = 5 * np.eye(3)[label] + 0.1 * random.standard_normal((24, 3))
    for unit in (1e-3, 1e3):
        predict = fit_probe(unit * x + 3, label, learner, unit * x + 3)
        np.testing.assert_array_equal(predict(unit * x + 3), label)


def test_propagation_follows_the_unlabelled():
    x, label = _moons(402, 0)
    test, wanted = _moons(400, 1)
    # The nearest neighbour sees two labelled points; the graph sees two arcs.
    nearest = np.mean(fit_probe(x[:2], label[:2], 'knn')(test) == wanted)
    spread = np.mean(fit_probe(x[:2], label[:2], 'propagation', x[2:])(test) == wanted)
    assert nearest < 0.9 and spread > 0.97


def test_accuracy_over_draws_of_the_labelled_examples():
    from sklearn.linear_model import LogisticRegression

    found = Probe(per_class=5, repeats=3)(Flat(), {}, _data(Digits()), KEY)
    test = Digits().source('test')[np.arange(300)]
    accuracies = []
    for seed in range(3):
        source = Labelled(Digits(), 5, seed=seed).source('train')
        train = source[np.arange(len(source))]
        few = train['label'] >= 0
        x = train['x'][few].reshape(50, -1)
        centre, scale = x.mean(0), np.sqrt(x.var(0).mean())
        model = LogisticRegression(max_iter=1000).fit((x - centre) / scale, train['label'][few])
        predicted = model.predict((test['x'].reshape(300, -1) - centre) / scale)
        accuracies.append(np.mean(predicted == test['label']))
    assert found['accuracy'] == pytest.approx(np.mean(accuracies), abs=0.002)
    assert found['sd'] == pytest.approx(np.std(accuracies, ddof=1), abs=0.002)
    assert found['protocol'] == (
        'logistic on 64 features, 5 labels of each class, 3 draws, test (300 examples)'
    )


def test_more_labels_and_the_unlabelled_help():
    few, many, spread = (
        Probe(repeats=2, **options)(Flat(), {}, _data(Digits()), KEY)['accuracy']
        for options in (
            {'per_class': 2, 'learner': 'knn'},
            {'per_class': 20, 'learner': 'knn'},
            {'per_class': 2, 'learner': 'propagation', 'num_unlabelled': 1000},
        )
    )
    assert few + 0.1 < many and few + 0.1 < spread


def test_what_it_refuses():
    with pytest.raises(UserError, match=r'no features\(\)'):
        Probe()(object(), {}, _data(Digits()), KEY)
    with pytest.raises(UserError, match='Probe needs labels, and Jars has none'):
        Probe()(Flat(), {}, _data(Jars()), KEY)
    with pytest.raises(UserError, match='per_class=500, and class'):
        Probe(per_class=500)(Flat(), {}, _data(Digits()), KEY)
    with pytest.raises(UserError, match=r"learner is one of .*, not 'tree'"):
        Probe(learner='tree')
    with pytest.raises(UserError, match=r'Probe\.repeats must be at least 2, not 1'):
        Probe(repeats=1)
