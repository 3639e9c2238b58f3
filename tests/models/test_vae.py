"""The VAE against closed forms."""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.errors import UserError
from genjax.models import VAE, Bernoulli, DiscretisedLogistic, Gaussian
from genjax.models.base import has_normal_codes
from genjax.models.vae.bounds import (
    gaussian_kl_to_standard,
    gaussian_log_prob,
    log_mean_exp,
    streaming_log_mean_exp,
)
from genjax.models.vae.regret import likelihood_regret
from genjax.networks import MLP
from tests.models.zoo import BY_NAME
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(3)
SCALE = 0.7  # of the noise of the linear Gaussian model


class Linear(nn.Module):
    """A decoder that is a matrix."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, z):
        """Maps [B, L] to [B, D]."""
        return nn.Dense(self.shape[-1], name='matrix')(z)


class Identity(nn.Module):
    """An encoder that leaves all to the posterior's linear layer."""

    def __call__(self, x):
        """Returns x."""
        return x


@pytest.fixture(scope='module')
def linear():
    """x = W z + b + noise: model, variables with the exact posterior, data, log p(x)."""
    rng = np.random.default_rng(0)
    latent_dim, dim = 3, 5
    # Orthogonal columns make the posterior covariance (I + WᵀW/s²)⁻¹ diagonal, as the encoder's is.
    columns = np.linalg.qr(rng.standard_normal((dim, latent_dim)))[0] * [1.5, 1.0, 0.5]
    b = rng.standard_normal(dim)
    model = VAE(Identity(), Linear((dim,)), latent_dim, Gaussian(SCALE))
    x = rng.standard_normal((6, dim)) * 1.5
    variables = model.init(KEY, {'x': jnp.asarray(x, jnp.float32)})
    variance = 1 / (1 + np.sum(columns**2, axis=0) / SCALE**2)
    to_mean = columns * variance / SCALE**2  # posterior mean = to_meanᵀ (x - b)
    raw_log_std = 10 * np.arctanh(0.5 * np.log(variance) / 10)
    kernel = np.concatenate([to_mean, np.zeros_like(to_mean)], axis=1)
    bias = np.concatenate([-b @ to_mean, raw_log_std])
    params = {
        'encoder': {'head': {'kernel': kernel, 'bias': bias}},
        'decoder': {'matrix': {'kernel': columns.T, 'bias': b}},
    }
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    assert jax.tree.structure(params) == jax.tree.structure(variables['params'])
    covariance = columns @ columns.T + SCALE**2 * np.eye(dim)
    exact = scipy.stats.multivariate_normal(b, covariance).logpdf(x)
    state = {'decoder': {'constants': {'start': jnp.zeros(dim)}}}
    return model, {'params': params, 'state': state}, jnp.asarray(x, jnp.float32), exact


def _spoiled(variables):
    """The same model with a worse posterior."""
    head = jax.tree.map(lambda leaf: 0.7 * leaf, variables['params']['encoder']['head'])
    return {**variables, 'params': {**variables['params'], 'encoder': {'head': head}}}


def test_importance_weights_with_the_exact_posterior_are_constant(linear):
    model, variables, x, exact = linear
    model = dataclasses.replace(model, eval_samples=1)
    for seed in range(3):
        result = model.log_prob(variables, x, jax.random.key(seed))
        np.testing.assert_allclose(result.value, exact, atol=2e-5)
    assert result.kind == 'lower_bound'


def test_elbo_with_the_exact_posterior_equals_log_p(linear):
    model, variables, x, exact = linear
    model = dataclasses.replace(model, num_samples=20_000)
    out = jax.jit(model.phases[0].loss)(variables, {'x': x}, KEY)
    np.testing.assert_allclose(-out.values, exact, atol=0.05)
    np.testing.assert_allclose(out.metrics['elbo'], -out.values, rtol=1e-6)


def test_regret_is_the_divergence_of_the_encoder_from_the_exact_posterior(linear):
    model, variables, x, _ = linear
    mean, log_std = model.posterior(variables, x)[:2]
    bad, bad_log_std = model.posterior(_spoiled(variables), x)[:2]
    ratio = np.exp(2 * (bad_log_std - log_std))
    terms = ratio + (mean - bad) ** 2 * np.exp(-2 * log_std) - 1 - np.log(ratio)
    expected = 0.5 * np.sum(terms, axis=1)  # KL of two normals

    @jax.jit
    def found(variables):  # the mean of an unbiased estimate
        keys = jax.random.split(KEY, 200)
        each = jax.vmap(
            functools.partial(likelihood_regret, model, variables, x, steps=400, learning_rate=0.03)
        )(keys)
        return jnp.mean(each, axis=0)

    np.testing.assert_allclose(found(_spoiled(variables)), expected, atol=0.03)
    np.testing.assert_allclose(found(variables), 0, atol=0.03)


def test_code_moments_are_those_of_the_codes_that_encode_draws(linear):
    model, variables, x, _ = linear
    z = model.encode(variables, jnp.repeat(x[:2], 20_000, axis=0), KEY).reshape(2, 20_000, -1)
    mean, std = model.code_moments(variables, x[:2])
    np.testing.assert_allclose(jnp.mean(z, axis=1), mean, atol=0.03)
    np.testing.assert_allclose(jnp.std(z, axis=1), std, rtol=0.03)
    assert has_normal_codes(model)
    assert not has_normal_codes(dataclasses.replace(model, flow=Identity()))
    assert not has_normal_codes(BY_NAME['vae-context'].model)


def test_stl_has_no_variance_at_the_exact_posterior(linear):
    model, variables, x, exact = linear
    for bound, largest in (('stl', 2e-4), ('elbo', 1e9)):
        loss = dataclasses.replace(model, bound=bound).phases[0].loss

        def total(encoder, loss=loss):
            params = {**variables['params'], 'encoder': encoder}
            return jnp.sum(loss({**variables, 'params': params}, {'x': x}, KEY).values)

        value, gradient = jax.value_and_grad(total)(variables['params']['encoder'])
        size = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient))
        assert (size < largest) and (size > 0.1 or bound == 'stl')
        if bound == 'stl':
            np.testing.assert_allclose(value, -np.sum(exact), rtol=1e-5)


def test_bounds_are_ordered_and_tend_to_log_p(linear):
    model, variables, x, exact = linear
    variables = _spoiled(variables)
    elbo = dataclasses.replace(model, num_samples=20_000)
    means = [-np.mean(elbo.phases[0].loss(variables, {'x': x}, KEY).values)]
    for samples in (2, 10, 5000):
        bound = jax.jit(dataclasses.replace(model, eval_samples=samples).log_prob)
        draws = 1 if samples == 5000 else 1000
        keys = jax.random.split(KEY, draws)
        values = jax.lax.map(lambda key, f=bound: f(variables, x, key).value, keys)
        means.append(np.mean(values))
    assert means == sorted(means)
    assert means[0] < np.mean(exact) - 0.1
    assert means[-1] == pytest.approx(np.mean(exact), abs=0.02)


def test_iwae_loss_estimates_the_same_bound_as_log_prob(linear):
    model, variables, x, _ = linear
    variables, keys = _spoiled(variables), jax.random.split(KEY, 3000)
    train = dataclasses.replace(model, bound='iwae', num_samples=4)
    evaluate = dataclasses.replace(model, eval_samples=4)
    loss = jax.lax.map(lambda key: train.phases[0].loss(variables, {'x': x}, key).values, keys)
    bound = jax.lax.map(lambda key: evaluate.log_prob(variables, x, key).value, keys)
    np.testing.assert_allclose(-np.mean(loss), np.mean(bound), atol=0.05)


@pytest.mark.parametrize('samples', [full(1), 7, full(10)])
@pytest.mark.parametrize('rows', [1, 12, 1000])
def test_chunks_do_not_change_the_bound(samples, rows):
    keys = jax.random.split(KEY, samples)

    def log_weights(keys):
        return jax.vmap(lambda key: 30 * jax.random.normal(key, (4,)) - 1000)(keys)

    got = streaming_log_mean_exp(log_weights, keys, 4, rows)
    np.testing.assert_allclose(got, log_mean_exp(log_weights(keys)), rtol=1e-6)


def test_chunks_do_not_change_log_prob(linear, monkeypatch):
    model, variables, x, _ = linear
    variables = _spoiled(variables)
    whole = model.log_prob(variables, x, KEY).value
    monkeypatch.setattr('genjax.models.vae.inference._ROWS', 37)
    np.testing.assert_allclose(model.log_prob(variables, x, KEY).value, whole, rtol=1e-5)


def test_kl_and_density_of_normals():
    mean, log_std = np.array([[0.5, -2.0], [3.0, 0.0]]), np.array([[0.1, -1.5], [0.0, 1.0]])
    variance = np.exp(2 * log_std)
    closed = 0.5 * np.sum(mean**2 + variance - 1 - np.log(variance), axis=-1)
    np.testing.assert_allclose(gaussian_kl_to_standard(mean, log_std), closed, rtol=1e-6)
    np.testing.assert_allclose(gaussian_kl_to_standard(jnp.zeros((1, 4)), jnp.zeros((1, 4))), 0)
    z = np.array([[0.3, 1.0], [-4.0, 0.2]])
    want = scipy.stats.norm(mean, np.exp(log_std)).logpdf(z).sum(-1)
    np.testing.assert_allclose(gaussian_log_prob(z, mean, log_std), want, rtol=1e-5)


def test_rate_is_the_kl_and_the_loss_is_distortion_plus_beta_rate():
    entry = BY_NAME['vae']
    batch = entry.batch()
    variables = entry.model.init(KEY, batch)
    for beta in (0.0, 1.0, 4.0):
        out = dataclasses.replace(entry.model, beta=beta).phases[0].loss(variables, batch, KEY)
        want = out.metrics['distortion'] + beta * out.metrics['rate']
        np.testing.assert_allclose(out.values, want, rtol=1e-6)


def test_beta_may_be_traced():
    entry = BY_NAME['vae-dropout-iwae']
    batch = entry.batch()
    variables = entry.model.init(KEY, batch)

    @jax.jit
    def loss(beta):
        return (
            dataclasses.replace(entry.model, beta=beta).phases[0].loss(variables, batch, KEY).values
        )

    assert jnp.any(loss(0.5) != loss(1.0))


def test_bernoulli_against_scipy():
    logits = np.linspace(-12, 12, 12).reshape(2, 6)
    x = np.array([[0, 1, 0, 1, 0, 1], [1, 1, 0, 0, 1, 0]])
    got = Bernoulli().log_prob(jnp.asarray(logits), jnp.asarray(x, jnp.float32))
    want = scipy.stats.bernoulli(scipy.special.expit(logits)).logpmf(x).sum(-1)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_gaussian_against_scipy():
    mean, log_scale = np.array([[0.0, 2.0]]), np.array([[-0.5, 0.3]])
    x = np.array([[0.4, -1.0]])
    raw = 10 * np.arctanh(log_scale / 10)
    got = Gaussian().log_prob(jnp.concatenate([mean, raw], axis=-1), x)
    want = scipy.stats.norm(mean, np.exp(log_scale)).logpdf(x).sum(-1)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    got = Gaussian(0.5).log_prob(jnp.asarray(mean), x)
    np.testing.assert_allclose(got, scipy.stats.norm(mean, 0.5).logpdf(x).sum(-1), rtol=1e-5)


@pytest.mark.parametrize('levels', [2, 5, 256])
@pytest.mark.parametrize('location', [-3.0, -1.0, 0.1, 1.0, 40.0])
@pytest.mark.parametrize('log_scale', [-200.0, full(-6.0), -2.0, full(0.0), 5.0])
def test_discretised_logistic_sums_to_one(levels, location, log_scale):
    likelihood = DiscretisedLogistic(levels)
    params = jnp.broadcast_to(jnp.array([location, log_scale]), (levels, 2))
    log_prob = likelihood.log_prob(params, jnp.arange(levels)[:, None])
    assert jnp.all(jnp.isfinite(log_prob))
    assert jnp.all(log_prob <= 1e-6)
    assert float(jnp.sum(jnp.exp(log_prob))) == pytest.approx(1, abs=2e-3)


def test_discretised_logistic_against_scipy_and_its_gradient_is_finite():
    likelihood = DiscretisedLogistic(256)
    params, x = jnp.array([[0.1, 0.5, -0.5, 0.2]]), jnp.array([[100.0, 255.0]])
    scale = np.exp(10 * np.tanh((np.array([-0.5, 0.2]) - 2) / 10))
    logistic = scipy.stats.logistic([0.1, 0.5], scale)
    lower, upper = (np.array([100, 255]) * 2 / 255 - 1 + side / 255 for side in (-1, 1))
    want = (
        np.log(logistic.cdf(upper[0])[0] - logistic.cdf(lower[0])[0]) + logistic.logsf(lower[1])[1]
    )
    np.testing.assert_allclose(likelihood.log_prob(params, x)[0], want, rtol=1e-4)
    far = jnp.array([[1e4, -1e4, -1e4, 1e4]])
    for point in (params, far):
        gradient = jax.grad(lambda p: jnp.sum(likelihood.log_prob(p, x)))(point)
        assert jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize(
    'likelihood', [Bernoulli(), Gaussian(), Gaussian(0.3), DiscretisedLogistic(8)]
)
def test_samples_of_a_likelihood_follow_it(likelihood):
    """The mean log-probability of samples is minus the entropy."""
    params = jnp.broadcast_to(
        jnp.array([0.3, -0.8])[: likelihood.width], (40_000, likelihood.width)
    )
    x = likelihood.sample(params, KEY)
    assert x.shape == (40_000, 1)
    observed = float(jnp.mean(likelihood.log_prob(params, x)))
    if isinstance(likelihood, Gaussian):
        scale = likelihood.scale or math.exp(10 * math.tanh(-0.08))
        entropy = 0.5 * math.log(2 * math.pi * math.e * scale**2)
    else:
        shares = np.unique(np.asarray(x), return_counts=True)[1] / len(x)
        entropy = -float(np.sum(shares * np.log(shares)))
    assert observed == pytest.approx(-entropy, abs=0.02)
    assert likelihood.mean(params).shape == x.shape


@pytest.mark.parametrize(
    ('likelihood', 'levels'), [(Bernoulli(), 2), (Gaussian(), 256), (DiscretisedLogistic(), 256)]
)
def test_a_decoder_starts_at_the_mean_of_the_data(likelihood, levels):
    x = jax.random.randint(KEY, (50, 3), 0, levels).astype(jnp.float32).at[:, 0].set(0)
    model = VAE(MLP(()), MLP((), shape=(3,)), 2, likelihood)
    variables = jax.jit(model.init)(KEY, {'x': x})
    variables['params'] = jax.tree.map(jnp.zeros_like, variables['params'])
    mean = np.mean(x, axis=0)
    if levels == 2:  # as with half an example more of each kind
        mean = (50 * mean + 0.5) / 51
    decoded = model.decode(variables, jnp.ones((4, 2)), KEY)
    np.testing.assert_allclose(decoded, np.tile(mean, (4, 1)), rtol=1e-5, atol=1e-4)


def test_mistakes_are_named():
    with pytest.raises(UserError, match='shape'):
        VAE(MLP((4,)), MLP((4,)), 2)
    with pytest.raises(UserError, match='latent_dim'):
        VAE(MLP((4,)), MLP((4,), shape=(3,)), 0)
    with pytest.raises(UserError, match='iwae'):
        VAE(MLP((4,)), MLP((4,), shape=(3,)), 2, bound='iwea')
    for fields in ({'num_groups': 2, 'num_samples': 3, 'bound': 'iwae'}, {'elbo_share': 0.5}):
        with pytest.raises(UserError, match=next(iter(fields))):
            VAE(MLP((4,)), MLP((4,), shape=(3,)), 2, **fields)
    with pytest.raises(UserError, match='levels'):
        DiscretisedLogistic(1)
