"""Evaluators of posteriors that are exact, narrow, the prior, or in other units."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Digits, Simulations
from genjax.data.simulators import GaussianLinear, GaussianMixture, Rescaled, TwoMoons
from genjax.data.simulators.base import normal_log_prob
from genjax.errors import UserError
from genjax.evaluation import EvaluationData
from genjax.inference import Calibration, PosteriorC2ST
from genjax.models.base import LogProb
from tests.inference.test_likelihood import Exact
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
DEVIATION = math.sqrt(0.05)


@dataclass(frozen=True)
class Linear:
    """A model of the parameters of `GaussianLinear` given x: N(shrink x, scale² I)."""

    shrink: float = 0.5
    scale: float = DEVIATION
    context_shape: tuple[int, ...] = (10,)

    def sample(self, variables, key, num, *, context):
        return self.shrink * context + self.scale * jax.random.normal(key, (num, 10))

    def log_prob(self, variables, x, key, *, context):
        value = normal_log_prob(x, self.shrink * context, self.scale)
        return LogProb(value, 'exact', density=True)


MODELS = {
    'exact': Linear(),
    'narrow': Linear(scale=DEVIATION / 2),
    'prior': Linear(shrink=0.0, scale=math.sqrt(0.1)),
}


def data_of(task, modelled='parameters'):
    dataset = Simulations(task, num=5000, modelled=modelled)
    return EvaluationData(dataset, 'test', None, Chain())


@functools.cache
def calibration(name):
    return Calibration(num=200, draws=64)(MODELS[name], {}, data_of(GaussianLinear()), KEY)


def test_an_exact_posterior_is_calibrated_and_has_the_mutual_information():
    found = calibration('exact')
    assert min(found['sbc_p'], found['coverage_p'], found['tarp_p']) > 0.01
    assert found['coverage_90'] == pytest.approx(0.9, abs=0.06)
    assert found['information'] == pytest.approx(5 * math.log(2), abs=4 * found['stderr'])
    assert found['stderr'] < 0.3 and found['leakage'] == 0


def test_a_narrow_posterior_is_caught():
    found = calibration('narrow')
    assert max(found['sbc_p'], found['coverage_p']) < 1e-6
    assert found['coverage_90'] < 0.5
    assert found['information'] < calibration('exact')['information']


def test_the_prior_is_caught_by_references_of_x_and_by_its_information():
    found = calibration('prior')
    assert min(found['sbc_p'], found['coverage_p']) > 0.01
    assert found['tarp_p'] < 1e-6
    assert found['information'] == pytest.approx(0, abs=1e-4)


def test_of_a_model_of_observations():
    found = Calibration(num=30, draws=32)(
        Exact(TwoMoons()), {}, data_of(TwoMoons(), 'observations'), KEY
    )
    assert min(found['sbc_p'], found['coverage_p'], found['tarp_p']) > 0.01
    assert 'information' not in found


@dataclass(frozen=True)
class Decoded:
    """The exact posterior of `GaussianMixture` given what is decoded to x."""

    task: Any
    decoding: Any = jnp.sinh
    context_shape: tuple[int, ...] = (2,)

    def sample(self, variables, key, num, *, context):
        x = self.decoding(context)
        return jax.vmap(lambda x, k: self.task.posterior_sample(k, x, 1)[0])(
            x, jax.random.split(key, num)
        )


@pytest.mark.parametrize(('shift', 'low', 'high'), [full(0.0, 0.35, 0.6), (1.0, 0.65, 1)])
def test_c2st_of_samples_given_observations_of_the_split(shift, low, high):
    task = GaussianMixture()
    model = Decoded(task, decoding=lambda x: x + shift)
    found = PosteriorC2ST(num_observations=1, num_samples=150)(model, {}, data_of(task), KEY)
    assert low < found['c2st'] == found['worst'] < high
    assert 'observations=1; samples=150' in found['protocol']


def test_references_in_a_file_are_given_observations_of_the_task(tmp_path):
    task, random = GaussianMixture(), np.random.default_rng(0)
    observations = random.uniform(-9, 9, (2, 2)).astype(np.float32)
    arrays = {}
    for number, x in enumerate(observations, start=1):
        arrays[f'obs_{number}'] = x
        arrays[f'ref_{number}'] = task.posterior_sample(jax.random.fold_in(KEY, number), x, 150)
    np.savez(tmp_path / 'reference.npz', **arrays)
    data = data_of(Rescaled(task, 'arcsinh'))
    found = PosteriorC2ST(reference=str(tmp_path / 'reference.npz'))(Decoded(task), {}, data, KEY)
    assert found['c2st'] < 0.6
    assert 'observations=2; samples=150' in found['protocol']


def test_mistakes():
    with pytest.raises(UserError, match='Calibration is of models of Simulations, and the data'):
        Calibration()(Linear(), {}, EvaluationData(Digits(), 'test', None, Chain()), KEY)
    with pytest.raises(UserError, match='Calibration needs num >= 10'):
        Calibration(num=1)
    with pytest.raises(UserError, match='num_observations >= 1'):
        PosteriorC2ST(num_observations=0)
    data = data_of(Rescaled(TwoMoons(), 'arcsinh'))
    with pytest.raises(UserError, match='posterior of Rescaled is not known exactly'):
        PosteriorC2ST()(Linear(), {}, data, KEY)
    with pytest.raises(UserError, match='there is no such file'):
        PosteriorC2ST(reference='nowhere.npz')(Linear(), {}, data, KEY)
