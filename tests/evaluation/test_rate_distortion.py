"""Rate and distortion of a VAE whose posterior and likelihood are known."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Binarise, Chain, Digits, Scale, eval_batches
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, RateDistortion
from genjax.models import VAE, Gaussian, InverseAutoregressive
from genjax.networks import MLP
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def judged(evaluator, model, variables, chain):
    def batches(size):
        for batch in eval_batches(Digits().source('test'), batch_size=size):
            yield jax.device_put(batch)

    return evaluator(model, variables, EvaluationData(Digits(), 'test', batches, chain), KEY)


@dataclass(frozen=True)
class Known:
    """The rate is the brightness of a picture; the distortion is normal with that mean."""

    def rate_distortion(self, variables, x, key):
        mean = x.reshape(len(x), -1).mean(1)
        return mean, mean + jax.random.normal(key, mean.shape)


def test_means_and_standard_errors_against_numpy():
    source = Digits().source('test')
    mean = (source[np.arange(len(source))]['x'] / 255.0).reshape(len(source), -1).mean(1)
    found = judged(RateDistortion(100, 400), Known(), {}, Chain((Scale(0.0, 1.0),)))
    assert found['rate'] == pytest.approx(mean.mean(), rel=1e-5)
    stderr = mean.std(ddof=1) / np.sqrt(len(mean))
    assert found['rate_stderr'] == pytest.approx(stderr, rel=1e-4)
    assert found['distortion'] == pytest.approx(mean.mean(), abs=5 / np.sqrt(400 * len(mean)))
    assert found['protocol'].startswith('400 draws, Scale')


def vae(scale=None, **fields):
    model = VAE(
        encoder=MLP(features=(16,)),
        decoder=MLP(features=(16,), shape=(8, 8, 1)),
        latent_dim=3,
        likelihood=Gaussian(scale),
        **fields,
    )
    x = jax.random.normal(KEY, (32, 8, 8, 1))
    return model, model.init(KEY, {'x': x}), x


def test_closed_rate_is_the_mean_of_the_log_ratio():
    model, variables, x = vae()
    rate, _ = model.rate_distortion(variables, x, KEY)
    posterior = model._encode(variables, x)
    std = jnp.exp(posterior.log_std)
    z = posterior.mean + std * jax.random.normal(KEY, (20_000, *std.shape))
    log_q = jax.scipy.stats.norm.logpdf(z, posterior.mean, std).sum(-1)
    log_p = jax.scipy.stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(rate, jnp.mean(log_q - log_p, 0), rtol=0.02, atol=0.02)


@pytest.mark.parametrize('fields', [{}, full({'flow': InverseAutoregressive()})])
def test_they_add_up_to_the_bound_of_one_sample(fields):
    # A scale that the decoder gives, exponential in z, has means that few draws do not show.
    model, variables, x = vae(scale=1.0, eval_samples=1, **fields)
    keys = jax.random.split(KEY, 4000)
    rate, distortion = jax.lax.map(lambda k: model.rate_distortion(variables, x, k), keys)
    bound = jax.lax.map(lambda k: model.log_prob(variables, x, k).value, keys)
    # Both are means over posterior samples of the same number.
    gap = jnp.mean(rate + distortion, 0) + jnp.mean(bound, 0)
    noise = jnp.std(bound, 0) / jnp.sqrt(len(keys))
    assert jnp.all(jnp.abs(gap) < 8 * noise + 1e-3)


def test_what_is_no_vae_is_refused():
    with pytest.raises(UserError, match='RateDistortion cannot judge a object'):
        judged(RateDistortion(), object(), {}, Chain((Binarise(),)))
