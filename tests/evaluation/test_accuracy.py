"""Accuracy and calibration of classifiers that are right a known share of the time."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax import sampling
from genjax.data import Chain, Digits, eval_batches
from genjax.data.sources import InMemorySource
from genjax.errors import UserError
from genjax.evaluation import Accuracy, EvaluationData
from genjax.evaluation.accuracy import brier_score, calibration_error
from genjax.models.base import LogProb

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Coins:
    """x is the probability p that an overconfident observer gives to heads; its frequency is p²."""

    num: int = 20_000

    event_shape = (1,)
    num_classes = 2

    def source(self, split):
        random = np.random.RandomState(len(split))
        p = random.uniform(0.5, 1, (self.num, 1)).astype(np.float32)
        heads = random.uniform(size=self.num) < p[:, 0] ** 2
        return InMemorySource({'x': p, 'label': heads.astype(np.int32)})


@dataclass(frozen=True)
class Observer:
    """Believes x."""

    def classify(self, variables, x):
        return jnp.log(jnp.concatenate([1 - x, x], axis=-1)) + 7


def _data(dataset, split='test'):
    def batches(size):
        yield from map(jax.device_put, eval_batches(dataset.source(split), batch_size=size))

    return EvaluationData(dataset, split, batches, Chain())


def test_results_of_a_miscalibrated_source_are_those_of_the_closed_form():
    found = Accuracy(batch_size=3000)(Observer(), {}, _data(Coins()), KEY)
    # Integrals over p uniform on (1/2, 1); heads is predicted, with confidence p.
    assert found['accuracy'] == pytest.approx(7 / 12, abs=0.012)
    assert found['stderr'] == pytest.approx(np.sqrt(7 / 12 * 5 / 12 / 20_000), rel=0.01)
    assert found['ece'] == pytest.approx(3 / 4 - 7 / 12, abs=0.012)
    p = np.linspace(0.5, 1, 200_001)[:-1] + 1.25e-6
    nll = -(p**2 * np.log(p) + (1 - p**2) * np.log1p(-p))
    assert found['nll'] == pytest.approx(nll.mean(), abs=0.03)
    brier = 2 * (p**2 * (1 - p) ** 2 + (1 - p**2) * p**2)
    assert found['brier'] == pytest.approx(brier.mean(), abs=0.02)
    assert found['protocol'] == 'test (20000 examples), 15 bins'


@dataclass(frozen=True)
class Normals:
    """x is normal with the mean -1 or 1 of its class: model and data."""

    event_shape = (1,)
    num_classes = 2

    def source(self, split):
        random = np.random.RandomState(0)
        label = np.arange(20_000) % 2
        x = 2 * label[:, None] - 1 + random.standard_normal((20_000, 1))
        return InMemorySource({'x': x.astype(np.float32), 'label': label.astype(np.int32)})

    def log_prob(self, variables, x, key, *, label=None):
        return LogProb(jax.scipy.stats.norm.logpdf(x[:, 0], 2 * label - 1), 'exact')


def test_bayes_rule_classifies_by_the_densities_of_a_conditional_model():
    found = Accuracy(batch_size=4000)(Normals(), {}, _data(Normals()), KEY)
    assert found['accuracy'] == pytest.approx(scipy.stats.norm.cdf(1), abs=0.01)
    assert found['ece'] < 0.01  # the true posterior is calibrated
    assert found['protocol'] == "Bayes' rule, test (20000 examples), 15 bins"
    x = Normals().source('test')[np.arange(5)]['x']
    logits = sampling.classify(Normals(), Chain(), {}, x)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], 2 * x[:, 0], rtol=1e-5)


def test_calibration_error_of_known_counts():
    confidence = np.repeat([0.55, 0.95, 1.0], [20, 20, 10])
    correct = np.arange(50) % 20 < np.repeat([15, 10, 10], [20, 20, 10])
    # 10 bins: the last holds confidences .95 and 1.
    want = 20 / 50 * 0.2 + abs(20 * (0.5 - 0.95) + 0.0) / 50
    assert calibration_error(confidence, correct, 10) == pytest.approx(want)
    assert calibration_error(np.array([0.25]), np.array([True]), 1) == 0.75


def test_brier_score_is_that_of_scikit_learn():
    from sklearn.metrics import brier_score_loss

    random = np.random.RandomState(0)
    p, label = random.uniform(size=100), random.randint(2, size=100)
    # In the binary case theirs counts one of the two classes.
    want = 2 * brier_score_loss(label, p)
    assert brier_score(np.stack([1 - p, p], 1), label) == pytest.approx(want)


def test_the_unlabelled_are_left_out():
    @dataclass(frozen=True)
    class Partly(Coins):
        def source(self, split):
            arrays = super().source(split)[np.arange(100)]
            return InMemorySource({**arrays, 'label': np.where(np.arange(100) % 4, -1, 1)})

    found = Accuracy()(Observer(), {}, _data(Partly()), KEY)
    assert found['protocol'].startswith('test (25 examples)') and found['accuracy'] == 1


def test_what_it_refuses():
    class Unlabelled(Coins):
        def source(self, split):
            return InMemorySource({'x': super().source(split)[np.arange(9)]['x']})

    with pytest.raises(UserError, match='needs labels: the test split has none'):
        Accuracy()(Observer(), {}, _data(Unlabelled()), KEY)
    with pytest.raises(UserError, match=r'no classify\(\)'):
        Accuracy()(object(), {}, _data(Digits()), KEY)
    with pytest.raises(UserError, match=r'Accuracy\.bins must be at least 1, not 0'):
        Accuracy(bins=0)
