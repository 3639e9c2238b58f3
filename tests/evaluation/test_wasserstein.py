"""Transport costs that are known, and critics that are the best there are."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain
from genjax.errors import UserError
from genjax.evaluation import CriticW1, EvaluationData, wasserstein_1
from genjax.sampling.draw import draw
from tests.models.zoo import BY_NAME

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(300, 2)).astype(np.float32)


def test_in_one_dimension_sorted_values_are_matched():
    a, b = RANDOM.normal(size=(2, 200, 1))
    want = np.mean(np.abs(np.sort(a[:, 0]) - np.sort(b[:, 0])))
    assert wasserstein_1(a, b) == pytest.approx(want, rel=1e-6)


def test_the_best_of_all_assignments_is_found():
    a, b = RANDOM.normal(size=(2, 6, 3, 1))
    want = min(
        np.mean([np.linalg.norm(a[i] - b[j]) for i, j in enumerate(order)])
        for order in itertools.permutations(range(6))
    )
    assert wasserstein_1(a, b) == pytest.approx(want, rel=1e-6)
    assert wasserstein_1(a, a[::-1]) == 0


def test_samples_that_cannot_be_matched_are_named():
    with pytest.raises(UserError, match=r'\(3, 2\) and \(4, 2\)'):
        wasserstein_1(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(UserError, match='not finite'):
        wasserstein_1(np.zeros((3, 2)), np.full((3, 2), np.nan))


LINE = RANDOM.uniform(size=(300, 1)).astype(np.float32) * np.array([0.6, 0.8], np.float32)


@dataclass(frozen=True)
class Shifted:
    """Samples are points of a line less (3, 4); the critic has the slope of the shift, scaled.

    All samples lie before all data on the line: each way of matching them costs the same, the
    difference of the means, whichever points are drawn.
    """

    scale: float

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, 2]."""
        del variables, label
        return jax.random.choice(key, LINE, (num,)) - jnp.array([3.0, 4.0])

    def discriminate(self, variables, x):
        """The potential of the shift, [B]."""
        del variables
        return self.scale * x @ jnp.array([0.6, 0.8])


@pytest.mark.parametrize('scale', [1.0, 1.3])
def test_the_best_critic_estimates_the_cost_of_a_shift(scale):
    model, batches = Shifted(scale), [{'x': jnp.asarray(LINE), 'mask': jnp.ones(300, bool)}]
    data = EvaluationData(None, 'test', lambda size: batches, Chain(()), seed=3)
    figures = CriticW1(num_samples=300, batch_size=300)(model, {}, data, KEY)
    cost = np.linalg.norm(LINE.mean(0) - draw(model, {}, 300, seed=3).mean(0))
    assert figures['exact'] == pytest.approx(cost, rel=1e-5)
    assert figures['critic'] == pytest.approx(cost, rel=1e-4)
    assert figures['ratio'] == pytest.approx(1, rel=1e-4)
    assert figures['slope'] == pytest.approx(scale, rel=1e-4)
    assert figures['protocol'] == '300 of test and 300 samples'


def test_a_model_without_a_critic_is_named():
    with pytest.raises(UserError, match='discriminate'):
        CriticW1()(BY_NAME['vae'].model, {}, None, KEY)


def test_a_gan_has_a_critic():
    entry = BY_NAME['gan-wasserstein']
    batch = entry.batch()
    variables = entry.model.init(KEY, batch)
    params = {'params': variables['params']['discriminator']}
    want = entry.model.discriminator.apply(params, batch['x'])
    np.testing.assert_array_equal(entry.model.discriminate(variables, batch['x']), want)
