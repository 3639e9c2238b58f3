import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, ConditionalGaussian, Density, Scale, eval_batches
from genjax.errors import UserError
from genjax.evaluation import KL, EvaluationData
from genjax.models.base import LogProb

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class Normal:
    """A model: a round normal."""

    scale: float
    kind: str = 'exact'

    def log_prob(self, variables, x, key):
        log_density = -jnp.log(2 * jnp.pi * self.scale**2) - jnp.sum(x**2, -1) / self.scale**2 / 2
        return LogProb(log_density, self.kind)


@dataclasses.dataclass(frozen=True)
class NormalData:
    """Data from a round standard normal."""

    event_shape = (2,)

    def log_prob(self, x):
        return Normal(1.0).log_prob(None, x, None).value


def data_of(dataset, x, *steps):
    def batches(size):
        for start in range(0, len(x), size):
            rows = np.arange(start, start + size)
            yield {'x': jnp.asarray(x[rows % len(x)]), 'mask': jnp.asarray(rows < len(x))}

    return EvaluationData(dataset, 'test', batches, Chain(steps))


X = np.random.RandomState(0).standard_normal((5000, 2)).astype(np.float32)


def test_it_is_the_divergence_of_two_normals():
    figures = KL(batch_size=512)(Normal(1.5), {}, data_of(NormalData(), X), jax.random.key(0))
    want = 2 * np.log(1.5) + 1 / 1.5**2 - 1
    assert figures['kl'] == pytest.approx(want, abs=4 * figures['stderr'])
    assert 0 < figures['stderr'] < 0.01
    assert figures['data_entropy'] == pytest.approx(1 + np.log(2 * np.pi), abs=0.06)
    assert figures['protocol'] == 'exact, test (5000 examples)'


def test_a_perfect_model_has_none():
    figures = KL()(Normal(1.0), {}, data_of(NormalData(), X), jax.random.key(0))
    assert (figures['kl'], figures['stderr']) == (0, 0)


def test_without_the_contexts_of_the_data_it_is_their_mutual_information():
    class Marginal(Normal):
        def log_prob(self, variables, x, key):
            return LogProb(ConditionalGaussian(shuffled=True).log_prob(x, x), 'exact')

    dataset = ConditionalGaussian(train_size=10)

    def batches(size):
        return map(jax.device_put, eval_batches(dataset.source('test'), batch_size=size))

    data = EvaluationData(dataset, 'test', batches, Chain())
    figures = KL()(Marginal(1.0), {}, data, jax.random.key(0))
    assert figures['kl'] == pytest.approx(dataset.information, abs=4 * figures['stderr'])
    assert 0 < figures['stderr'] < 0.02


def test_preprocessing_counts_with_its_log_determinant():
    data = data_of(NormalData(), X, Scale(0.0, 255 * 2.0))  # y = 2 x
    figures = KL()(Normal(2.0), {}, data, jax.random.key(0))
    assert figures['kl'] == pytest.approx(0, abs=1e-5)


def test_it_runs_on_a_density():
    dataset = Density('eight_gaussians')

    def batches(size):
        for batch in eval_batches(dataset.source('test'), batch_size=size, num=500):
            yield jax.device_put(batch)

    data = EvaluationData(dataset, 'test', batches, Chain())
    assert 0.3 < KL(batch_size=100)(Normal(2.0), {}, data, jax.random.key(0))['kl'] < 3


def test_what_it_cannot_judge_is_refused():
    class Unknown:
        pass

    with pytest.raises(UserError, match='known density'):
        KL()(Normal(1.0), {}, data_of(Unknown(), X), jax.random.key(0))
    with pytest.raises(UserError, match='exact log_prob'):
        KL()(Normal(1.0, 'lower_bound'), {}, data_of(NormalData(), X), jax.random.key(0))
    with pytest.raises(UserError, match='has no log_prob'):
        KL()(object(), {}, data_of(NormalData(), X), jax.random.key(0))
