"""Adversarial changes against the closed forms of linear classifiers."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from genjax.data import Binarise, Chain, Digits, Scale
from genjax.data.sources import InMemorySource
from genjax.errors import UserError
from genjax.evaluation import Adversarial, EvaluationData, pgd
from genjax.models.base import LogProb
from tests.evaluation.test_accuracy import _data
from tests.evaluation.test_selective import Quantiles

KEY = jax.random.key(0)


def test_of_a_linear_loss_the_worst_change_is_a_corner_of_the_box_within_the_bounds():
    slope = jnp.array([[3.0, -0.1], [-2.0, 1.0]])
    x = jnp.array([[0.2, 0.1], [0.8, 0.95]])
    found = pgd(lambda y, key: jnp.sum(slope * y, axis=1), x, KEY, 0.25, 10, low=0.0, high=1.0)
    np.testing.assert_allclose(found, [[0.45, 0.0], [0.55, 1.0]], atol=1e-6)


def test_two_gaussians_lose_the_radius_of_their_distance():
    """x of mean ±1 and deviation 1 is classified by its sign: right with probability Φ(1 - r)."""
    found = Adversarial(radii=(0.5, 1.5), num_examples=20_000, batch_size=4000)(
        Quantiles(), {}, _data(Quantiles()), KEY
    )
    for name, r in (('accuracy', 0), ('accuracy_0.5', 0.5), ('accuracy_1.5', 1.5)):
        assert found[name] == pytest.approx(norm.cdf(1 - r), abs=5e-4)
    assert next(iter(found)) == 'accuracy_0.5'
    assert found['protocol'] == "PGD, 20 steps, Bayes' rule, test (20000 examples)"


@dataclass(frozen=True)
class Noisy(Quantiles):
    """Its log p(x | class) is exact, the gradient of each draw has five times as much noise."""

    def log_prob(self, variables, x, key, *, label):
        noise = 5 * jax.random.normal(key, x.shape) * (x - jax.lax.stop_gradient(x))
        return LogProb((2 * label - 1) * (x + noise)[:, 0], 'estimate', density=True)

    def source(self, split):
        examples = super().source(split)[np.arange(0, 20_000)]
        order = np.random.RandomState(0).permutation(20_000)[:1000]
        return InMemorySource({name: values[order] for name, values in examples.items()})


def test_the_gradient_of_a_random_classifier_is_the_mean_over_its_draws():
    one, many = (
        Adversarial(radii=(1.0,), draws=draws)(Noisy(), {}, _data(Noisy()), KEY)
        for draws in (1, 300)
    )
    assert many['accuracy_1'] == pytest.approx(0.5, abs=0.03) and one['accuracy_1'] > 0.6
    assert many['accuracy'] == one['accuracy'] == pytest.approx(norm.cdf(1), abs=0.02)
    assert many['protocol'].startswith('PGD, 20 steps of 300 draws, ')


@dataclass(frozen=True)
class Brightness:
    """Class 1 is brighter than `level` on average."""

    level: float = 0.3

    def classify(self, variables, x):
        excess = jnp.mean(x.reshape(len(x), -1), axis=1) - self.level
        return jnp.stack([-excess, excess], axis=-1)


@dataclass(frozen=True)
class Bright(Digits):
    """The digits, labelled by `Brightness`."""

    def source(self, split):
        x = np.asarray(super().source(split)[np.arange(200)]['x'])
        label = np.mean(x, axis=(1, 2, 3)) > 0.3 * 255
        return InMemorySource({'x': x, 'label': label.astype(np.int32)})


def test_radii_of_images_are_shares_of_their_range_and_pixels_stay_within_it():
    data = _data(Bright(), 'test')
    data = EvaluationData(data.dataset, 'test', data.batches, Chain((Scale(),)))
    found = Adversarial(radii=(0.05, 0.1), num_examples=150, batch_size=40)(
        Brightness(), {}, data, KEY
    )
    batch = Bright().source('test')[np.arange(150)]
    x, sign = batch['x'] / 255.0, 2 * batch['label'] - 1
    for radius in (0.05, 0.1):
        worst = np.clip(x - radius * sign[:, None, None, None], 0, 1).mean(axis=(1, 2, 3))
        assert found[f'accuracy_{radius:g}'] == pytest.approx(np.mean(sign * (worst - 0.3) > 0))
    assert found['accuracy'] == 1


@dataclass(frozen=True)
class Tokens(Quantiles):
    """Examples are integers."""

    def source(self, split):
        label = np.arange(20, dtype=np.int32) % 2
        return InMemorySource({'x': label[:, None], 'label': label})


@dataclass(frozen=True)
class NoLabels(Quantiles):
    """No labels."""

    def source(self, split):
        return InMemorySource({'x': np.zeros((20, 1), np.float32)})


def test_what_cannot_be_attacked_is_refused():
    data = _data(Bright(), 'test')
    hidden = EvaluationData(data.dataset, 'test', data.batches, Chain((Binarise(),)))
    for model, data, line in (
        (Brightness(), hidden, 'the gradient of the class loss is zero for all examples'),
        (Brightness(), _data(Tokens()), 'not tokens'),
        (Brightness(), _data(NoLabels()), 'Adversarial needs labels: the test split has none'),
    ):
        with pytest.raises(UserError, match=line):
            Adversarial()(model, {}, data, KEY)
    with pytest.raises(UserError, match=r'Adversarial\.radii must be more than 0'):
        Adversarial(radii=(0.1, 0.0))
