"""The aggregate posterior against a prior, and the start of a VAE's posterior."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Digits, Scale, eval_batches
from genjax.errors import UserError
from genjax.evaluation import AggregatePosterior, EvaluationData
from genjax.evaluation.aggregate import normal_kl
from genjax.models import VAE, Gaussian, GaussianMixture
from genjax.models.vae.posterior import Posterior
from genjax.models.vae.priors import StandardNormal
from genjax.networks import MLP

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def _evaluated(model, variables, preprocess=Chain(())):  # noqa: B008 (frozen)
    def batches(size):
        for batch in eval_batches(Digits().source('test'), batch_size=size):
            yield jax.device_put(batch)

    data = EvaluationData(Digits(), 'test', batches, preprocess)
    return AggregatePosterior(128)(model, variables, data, KEY)


@dataclass(frozen=True)
class Known:
    """The mean of a code is two pixels, in part mixed; its standard deviation is .5."""

    prior = StandardNormal()

    def posterior(self, variables, x):
        flat = x.reshape(len(x), -1) / 255
        mean = jnp.stack([flat[:, 20], flat[:, 20] - 2 * flat[:, 36]], axis=-1)
        return Posterior(mean, jnp.full(mean.shape, jnp.log(0.5)))


def test_moments_against_numpy():
    x = Digits().source('test')[np.arange(300)]['x'].reshape(300, -1) / 255.0
    mean = np.stack([x[:, 20], x[:, 20] - 2 * x[:, 36]], -1)
    covariance = np.cov(mean.T, bias=True) + 0.25 * np.eye(2)
    found = _evaluated(Known(), {})
    centre = mean.mean(0)
    want = 0.5 * (np.trace(covariance) + centre @ centre - 2 - np.log(np.linalg.det(covariance)))
    assert found['kl'] == pytest.approx(want, rel=1e-5)
    assert found['mean_std_max'] == pytest.approx(mean.std(0).max(), rel=1e-5)
    assert found['std_min'] == pytest.approx(np.sqrt(np.diag(covariance)).min(), rel=1e-5)
    assert normal_kl(np.zeros(3), np.eye(3)) == 0
    assert found['protocol'] == 'moments, test (300 examples)'


def test_a_vae_starts_with_codes_that_tell_examples_apart():
    model = VAE(MLP((32,), activation='silu'), MLP((32,), shape=(8, 8, 1)), 6, Gaussian(0.05))
    source = Digits().source('train')
    x = jnp.asarray(source[np.arange(256)]['x']) / 255.0
    variables = model.init(KEY, {'x': x})
    posterior = model.posterior(variables, x)
    np.testing.assert_allclose(jnp.mean(posterior.mean, axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(jnp.std(posterior.mean, axis=0), 0.5, rtol=1e-3)
    np.testing.assert_allclose(jnp.mean(posterior.log_std, axis=0), np.log(0.3), atol=0.02)
    found = _evaluated(model, variables, Chain((Scale(),)))
    assert 0.3 < found['mean_std_min'] < found['mean_std_max'] < 0.7
    same = model.init(KEY, {'x': jnp.ones((4, 8, 8, 1))})
    assert np.all(np.isfinite(model.posterior(same, x).mean))


def test_priors_that_are_not_standard_normals_are_refused():
    model = VAE(MLP((4,)), MLP((4,), shape=(8, 8, 1)), 2, prior=GaussianMixture(2))
    with pytest.raises(UserError, match='standard normal prior'):
        _evaluated(model, {})
