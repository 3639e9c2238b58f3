"""Risk and coverage: Chow's rule for two Gaussians, brute force, ties."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from genjax.data.sources import InMemorySource
from genjax.errors import UserError
from genjax.evaluation import Selective, aurc, chow_threshold, risk_at, risk_coverage
from tests.evaluation.test_accuracy import Normals, _data

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Quantiles(Normals):
    """The quantiles of each class, so that shares are those of the distribution."""

    def source(self, split):
        label = np.arange(20_000) % 2
        x = 2 * label - 1 + norm.ppf((np.arange(20_000) // 2 + 0.5) / 10_000)
        return InMemorySource({'x': x[:, None].astype(np.float32), 'label': label.astype(np.int32)})


def accepted(t):
    """Probability that |x| > t, for x of mean 1 or -1."""
    return norm.sf(t - 1) + norm.cdf(-t - 1)


def chow(coverage):
    """Risk of the most likely class at a coverage, in closed form up to a table of thresholds."""
    t = np.linspace(0, 6, 60_001)
    return np.interp(-np.asarray(coverage), -accepted(t), norm.cdf(-t - 1) / accepted(t))


def test_two_gaussians_have_chows_curve():
    found = Selective(batch_size=4000)(Quantiles(), {}, _data(Quantiles()), KEY)
    for coverage in (1, 0.95, 0.9, 0.8):
        assert found[f'risk_{100 * coverage:g}'] == pytest.approx(chow(coverage), abs=5e-4)
    shares = (np.arange(20_000) + 1) / 20_000
    assert found['aurc'] == pytest.approx(chow(shares).mean(), abs=5e-4)
    error = found['risk_100']
    best = error + (1 - error) * np.log(1 - error)  # of all errors rejected first
    assert found['excess_aurc'] == pytest.approx(found['aurc'] - best, abs=1e-4)
    assert found['protocol'] == "Bayes' rule, test (20000 examples)"
    assert next(iter(found)) == 'risk_100'


@pytest.mark.parametrize('cost', [0.05, 0.2, 0.4])
def test_chows_threshold_is_the_cheapest(cost):
    def price(t):
        return norm.cdf(-t - 1) + cost * (1 - accepted(t))

    best = minimize_scalar(price, bounds=(0, 6), method='bounded', options={'xatol': 1e-9})
    # The posterior of the likelier class at |x| = t.
    assert 1 / (1 + np.exp(-2 * best.x)) == pytest.approx(chow_threshold(cost), abs=1e-4)


def test_ties_are_the_mean_of_all_their_orders():
    random = np.random.RandomState(0)
    confidence, wrong = random.randint(3, size=7), random.uniform(size=7) < 0.5
    curves = []
    for order in itertools.permutations(range(7)):
        order = np.array(order)
        if np.all(np.diff(confidence[order]) <= 0):
            curves.append(np.cumsum(wrong[order]) / np.arange(1, 8))
    coverage, risk = risk_coverage(confidence, wrong)
    np.testing.assert_allclose(risk, np.mean(curves, axis=0))
    np.testing.assert_allclose(coverage, np.arange(1, 8) / 7)
    assert aurc(confidence, wrong) == pytest.approx(np.mean(curves))
    # All alike: the risk is the error rate at every coverage.
    np.testing.assert_allclose(risk_coverage(np.ones(7), wrong)[1], wrong.mean())


def test_risk_at_a_coverage_rounds_up():
    confidence, wrong = np.arange(10)[::-1], np.arange(10) >= 8
    assert risk_at(confidence, wrong, 0.8) == 0
    assert risk_at(confidence, wrong, 0.81) == pytest.approx(1 / 9)
    assert risk_at(confidence, wrong, 1e-6) == 0 and risk_at(confidence, wrong, 1) == 0.2


def test_confidence_is_ordered_where_the_probability_rounds_to_one():
    @dataclass(frozen=True)
    class Sure(Normals):
        """Log odds of 2 |x| + 80: 1 - p is too small for p, not for the order."""

        def classify(self, variables, x):
            return jnp.array([-1.0, 1.0]) * (x + 40 * jnp.sign(x))

    found = Selective()(Sure(), {}, _data(Quantiles()), KEY)
    assert found['risk_80'] == pytest.approx(chow(0.8), abs=5e-4)


def test_what_it_refuses():
    with pytest.raises(UserError, match=r'Selective\.coverages: 90 must be above 0'):
        Selective(coverages=(90,))
    with pytest.raises(UserError, match='coverage=0 must be above 0'):
        risk_at(np.ones(2), np.ones(2), 0)
    with pytest.raises(UserError, match='cost=2 of a rejection'):
        chow_threshold(2)
    with pytest.raises(UserError, match=r'Selective cannot judge a object: .* no classify\(\)'):
        Selective()(object(), {}, _data(Normals()), KEY)
