"""Neural posterior estimation of a conjugate task, from simulations to calibration."""

import jax
import numpy as np
import optax
import pytest

import genjax
from genjax.config import spec
from genjax.data import Simulations
from genjax.data.simulators import GaussianLinear
from genjax.evaluation import KL
from genjax.inference import likelihood_posterior, posterior_samples, rank_test, sbc_ranks
from genjax.models import Flow
from genjax.models.flow import Autoregressive
from genjax.networks import MaskedMLP
from genjax.training import Experiment
from tests.tiers import full

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('modelled', ['parameters', full('observations')])
def test_a_linear_flow_learns_the_posterior_and_swapped_the_likelihood(modelled, tmp_path):
    task = GaussianLinear()
    config = spec(
        Experiment,
        dataset=spec(Simulations, task=spec(GaussianLinear), num=20_000, modelled=modelled),
        model=Flow(Autoregressive(MaskedMLP(())), (10,), context_shape=(10,)),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 0.03, 600)),
        steps=600,
        steps_per_call=100,
        batch_size=512,
        evals={'kl': KL()},
    )
    run = genjax.train(config, tmp_path / 'run')
    assert 0 < run.evaluate({'kl': KL()})['kl/kl'] < 0.05  # nats, of 10 dimensions
    if modelled == 'observations':
        x = np.linspace(-1, 1, 10, dtype=np.float32)
        found = likelihood_posterior(run.model, run.variables, x, task, 1000)
        np.testing.assert_allclose(found.mean(axis=0), x / 2, atol=0.08)
        np.testing.assert_allclose(found.std(axis=0), np.sqrt(0.05), rtol=0.15)
        return
    x = run.experiment.dataset.source('test')[np.arange(100)]
    samples = [
        posterior_samples(
            run.model, run.variables, each, task.prior_log_prob, 64, seed=i, batch_size=64
        ).samples
        for i, each in enumerate(x['context'])
    ]
    assert rank_test(sbc_ranks(samples, x['x']), 64) > 0.01
    exact = task.posterior_sample(jax.random.key(0), x['context'][0], 64)
    np.testing.assert_allclose(samples[0].mean(axis=0), exact.mean(axis=0), atol=0.25)
