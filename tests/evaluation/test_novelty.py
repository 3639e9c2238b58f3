"""Novelty detection by a model that is the distribution of its data."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, f, norm

from genjax.data import Binarise, Chain, Corrupted, Digits, Scale
from genjax.data.sources import InMemorySource
from genjax.errors import UserError
from genjax.evaluation import (
    EvaluationData,
    Novelty,
    auroc,
    complexity,
    energy,
    fpr_at,
    mahalanobis,
)
from genjax.models.base import LogProb

D, KEY = 20, jax.random.key(0)


@dataclass(frozen=True)
class Cloud:
    """Normals in D dimensions; the label is the sign of the first coordinate."""

    scale: float = 1.0
    seed: int = 0
    num: int = 3000

    event_shape = (D,)
    num_classes = 2

    def source(self, split):
        random = np.random.RandomState(self.seed + len(split))
        x = self.scale * random.standard_normal((self.num, D)).astype(np.float32)
        return InMemorySource({'x': x, 'label': (x[:, 0] > 0).astype(np.int32)})


@dataclass(frozen=True)
class Normal:
    """N(0, I), with logits ±x₀ and features 2x."""

    def log_prob(self, variables, x, key, *, label=None):
        return LogProb(
            jax.vmap(lambda x: jnp.sum(jax.scipy.stats.norm.logpdf(x)))(x), 'exact', density=True
        )

    def classify(self, variables, x):
        return x[:, :1] * jnp.array([-1.0, 1.0])

    def features(self, variables, x):
        return 2 * x


def evaluated(scores, other, dataset=None, *steps):
    data = EvaluationData(dataset or Cloud(), 'test', None, Chain(steps))
    return Novelty(other, scores, 3000)(Normal(), {}, data, KEY)


def test_likelihood_fails_and_typicality_repairs_it():
    found = evaluated(('log_prob', 'typicality'), Cloud(0.7, seed=100))
    assert found['auroc_log_prob'] == pytest.approx(f(D, D).cdf(0.49), abs=0.02)
    assert found['auroc_typicality'] == pytest.approx(0.86, abs=0.03)
    assert found['fpr95_log_prob'] == pytest.approx(chi2(D).cdf(chi2(D).ppf(0.95) / 0.49), abs=1e-3)
    # By quadrature: the distance of |x|² / 2 from its mean, of either.
    near, far = (np.abs(s * chi2(D).ppf((np.arange(9999) + 0.5) / 9999) - D) for s in (1, 0.49))
    expected = np.mean(far <= np.quantile(near, 0.95))
    assert found['fpr95_typicality'] == pytest.approx(expected, abs=0.03)
    assert [*found][:2] == ['auroc_log_prob', 'fpr95_log_prob']
    assert 'examples=3000 and 3000; training=3000; seed=0' in found['protocol']
    assert 'other=Cloud' in found['protocol']


def test_scores_of_classifiers_are_those_of_the_arrays():
    other = Cloud(1.3, seed=100)
    found = evaluated(('energy', 'mahalanobis'), other)
    x, novel = (d.source('test')[np.arange(3000)]['x'] for d in (Cloud(), other))
    logits = [a[:, :1] * np.array([-1, 1]) for a in (x, novel)]
    pair = [energy(each) for each in logits]
    assert found['auroc_energy'] == pytest.approx(auroc(*pair), abs=1e-4)
    assert found['fpr95_energy'] == pytest.approx(fpr_at(*pair), abs=1e-3)
    train = Cloud().source('train')[np.arange(3000)]
    # A distance does not depend on the scale of the features.
    pair = [mahalanobis(each, train['x'], train['label']) for each in (x, novel)]
    assert found['auroc_mahalanobis'] == pytest.approx(auroc(*pair), abs=1e-4)
    assert pair[0].mean() < pair[1].mean() and found['auroc_mahalanobis'] > 0.8


def test_complexity_is_of_the_stored_images():
    other = Corrupted(Digits(), 'noise', 0.1)
    found = evaluated(('complexity',), other, Digits(), Scale())
    pair = []
    for dataset in (Digits(), other):
        x = dataset.source('test')[np.arange(300)]['x']
        flat = x.reshape(300, -1) / 255
        pair.append(complexity(np.sum(norm.logpdf(flat) - np.log(255), axis=1), x))
    assert found['auroc_complexity'] == pytest.approx(auroc(*pair), abs=1e-4)
    with pytest.raises(UserError, match='complexity needs log p of the stored images, not of bits'):
        evaluated(('complexity',), other, Digits(), Binarise())


@dataclass(frozen=True)
class Round:
    """A background: N(0, scale² I)."""

    scale: float
    name: str = 'round'

    def log_prob(self, x):
        return norm.logpdf(x, scale=self.scale).sum(axis=1)


@pytest.mark.parametrize('scale', [0.5, 2.0])
def test_a_ratio_to_a_narrower_background_turns_the_order_around(scale):
    """log N(x; 0, scale²) - log N(x; 0, 1) grows with |x|, or falls."""
    data = EvaluationData(Cloud(), 'test', None, Chain())
    score = Novelty(Cloud(0.7, seed=100), ('ratio',), 3000, background=Round(scale))
    found = score(Normal(), {}, data, KEY)
    larger = f(D, D).cdf(0.49)  # probability that the novel example has the larger norm
    wanted = larger if scale > 1 else 1 - larger
    assert found['auroc_ratio'] == pytest.approx(wanted, abs=0.02)
    assert 'background=round' in found['protocol']


def test_its_own_data_are_not_novel_and_seldom_pass_more_than_they_should():
    found = evaluated(('log_prob',), Cloud(seed=100))
    assert found['auroc_log_prob'] == pytest.approx(0.5, abs=0.03)
    assert found['fpr95_log_prob'] == pytest.approx(0.95, abs=0.02)
    assert 'training' not in found['protocol']


def test_what_it_refuses():
    with pytest.raises(UserError, match=r"no score 'logprob'; did you mean 'log_prob'"):
        Novelty(Cloud(), ('logprob',))
    with pytest.raises(UserError, match="the score 'ratio', and no other, needs a background"):
        Novelty(Cloud(), ('ratio',))
    with pytest.raises(UserError, match=r'needs scores'):
        Novelty(Cloud(), ())
    with pytest.raises(UserError, match=r'like those of the run, float32 \[20\]: uint8 \[8, 8, 1'):
        evaluated(('log_prob',), Digits())
    with pytest.raises(UserError, match='complexity needs images uint8'):
        evaluated(('complexity',), Cloud(2.0))
    data = EvaluationData(Cloud(), 'test', None, Chain())
    with pytest.raises(UserError, match=r'no log_prob\(\)'):
        Novelty(Cloud())(object(), {}, data, KEY)
    with pytest.raises(UserError, match=r'Normal: the model has no posterior\(\)'):
        evaluated(('regret',), Cloud(2.0))
