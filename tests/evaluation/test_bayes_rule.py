"""Bayes' rule as a classifier: two Gaussians with a prior that has moved, and exact mixtures."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from genjax import sampling
from genjax.data import Chain
from genjax.data.sources import InMemorySource
from genjax.errors import UserError
from genjax.evaluation import Accuracy, BayesRule, Selective
from genjax.models import BayesClassifier, adapt_prior, class_log_probs
from tests.evaluation.test_accuracy import Coins, Normals, _data
from tests.models.probe import KEY, variables_of
from tests.models.zoo import BY_NAME

PRIOR = (0.8, 0.2)
LOG_PRIOR = tuple(np.log(PRIOR))


@dataclass(frozen=True)
class Moved(Normals):
    """Quantiles of the two Gaussians; the second class is a fifth of the examples."""

    def source(self, split):
        parts = [
            2 * k - 1 + norm.ppf((np.arange(num) + 0.5) / num)
            for k, num in ((0, 16_000), (1, 4000))
        ]
        x = np.concatenate(parts)[:, None].astype(np.float32)
        return InMemorySource({'x': x, 'label': np.repeat([0, 1], [16_000, 4000]).astype(np.int32)})


def chow(coverage):
    """Risk of Chow's rule for the prior that has moved: it answers x where |2 x + log odds| > t."""
    t, odds = np.linspace(0, 20, 100_001), np.log(PRIOR[1] / PRIOR[0])
    low, high = (-t - odds) / 2, (t - odds) / 2
    wrong = PRIOR[0] * norm.sf(high + 1) + PRIOR[1] * norm.cdf(low - 1)
    right = PRIOR[0] * norm.cdf(low + 1) + PRIOR[1] * norm.sf(high - 1)
    return np.interp(-coverage, -(wrong + right), wrong / (wrong + right))


def test_logits_are_those_of_the_closed_form():
    x = np.linspace(-3, 3, 7, dtype=np.float32)[:, None]
    rule = BayesClassifier(Normals(), LOG_PRIOR, temperature=5.0)
    logits = sampling.classify(rule, Chain(), {}, x)
    want = 2 * x[:, 0] / 5 + np.log(PRIOR[1] / PRIOR[0])
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], want, rtol=1e-5)


def test_the_prior_of_the_data_has_chows_curve_and_the_even_one_its_own_error():
    found = BayesRule(evaluator=Selective(batch_size=4000), log_prior=LOG_PRIOR)(
        Normals(), {}, _data(Moved()), KEY
    )
    for coverage in (1, 0.95, 0.9, 0.8):
        assert found[f'risk_{100 * coverage:g}'] == pytest.approx(chow(coverage), abs=5e-4)
    assert found['protocol'] == "Bayes' rule, prior 0.8 0.2, test (20000 examples)"
    even = BayesRule(evaluator=Accuracy(batch_size=4000))(Normals(), {}, _data(Moved()), KEY)
    assert even['accuracy'] == pytest.approx(norm.cdf(1), abs=5e-4)
    # EM finds the prior from x alone, and with it the rule of the true prior.
    x = Moved().source('test')[np.arange(20_000)]['x']
    log_px_y = class_log_probs(Normals(), {}, jnp.asarray(x), KEY).value
    adapted = adapt_prior(log_px_y, jnp.log(jnp.full(2, 0.5)), 200)
    np.testing.assert_allclose(np.exp(adapted), PRIOR, atol=0.002)
    rule = BayesRule(evaluator=Accuracy(batch_size=4000), log_prior=tuple(adapted))
    again = rule(Normals(), {}, _data(Moved()), KEY)
    assert again['accuracy'] == pytest.approx(1 - chow(1), abs=5e-4)
    assert again['ece'] < 0.005 and again['nll'] < even['nll'] - 0.05


def test_the_posterior_of_a_flow_is_its_density_over_the_mixture():
    entry = BY_NAME['flow-maf-spline']
    variables, x = variables_of(entry), entry.batch()['x']
    shares = np.log([0.5, 0.3, 0.2])
    logits = BayesClassifier(entry.model, tuple(shares)).classify(variables, x)
    each = [entry.model.log_prob(variables, x, KEY, label=jnp.full(8, k)).value for k in range(3)]
    np.testing.assert_allclose(logits, np.stack(each, axis=1) + shares, rtol=1e-5)
    # With an even prior the normaliser is the density of the mixture.
    even = BayesClassifier(entry.model, tuple(np.log(np.full(3, 1 / 3)))).classify(variables, x)
    mixture = entry.model.log_prob(variables, x, KEY).value
    np.testing.assert_allclose(jax.nn.logsumexp(even, axis=1), mixture, rtol=1e-5)


def test_the_number_of_samples_is_that_of_the_bound():
    entry = BY_NAME['vae-labels-free-bits']
    variables, x = variables_of(entry), entry.batch()['x']
    rule = BayesClassifier(entry.model, num_samples=300)
    assert rule.classify_method == "Bayes' rule, IWAE-300 for each of 3 classes"
    found = rule.classify(variables, x, KEY)
    np.testing.assert_array_equal(found, class_log_probs(rule.model, variables, x, KEY).value)
    # More samples make a tighter bound.
    few = BayesClassifier(entry.model, num_samples=1)
    assert np.mean(found - few.classify(variables, x, KEY)) > 0
    np.testing.assert_array_equal(rule.classify(variables, x), rule.classify(variables, x))


def test_what_it_refuses():
    with pytest.raises(UserError, match=r'model of p\(x \| class\), .*: this Coins is none'):
        BayesClassifier(Coins())
    with pytest.raises(UserError, match='log_prior: 2 numbers, one for each class, not'):
        BayesClassifier(Normals(), log_prior=(0.0, 0.0, 0.0))
    with pytest.raises(UserError, match='temperature must be more than 0'):
        BayesClassifier(Normals(), temperature=0.0)
    with pytest.raises(UserError, match='a Normals draws no samples'):
        BayesClassifier(Normals(), num_samples=3)
