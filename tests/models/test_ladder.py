"""The ladder against a linear Gaussian model, whose density is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.models import Gaussian, LadderVAE
from genjax.models.vae.bounds import gaussian_kl_to_standard
from genjax.networks import MLP
from genjax.networks.ladder import Ladder, _gaussian_kl

pytestmark = pytest.mark.slow

KEY = jax.random.key(2)
SCALE = 0.8


@pytest.fixture(scope='module')
def linear():
    """Two levels without activations and with scales that do not depend on the code above."""
    encoder = MLP((), shape=(6,), activation='identity')
    decoder = MLP((), shape=(4,), activation='identity')
    ladder = Ladder((1, 2), width=6, activation='identity')
    model = LadderVAE(encoder, ladder, decoder, Gaussian(SCALE), eval_samples=10_000)
    x = jax.random.normal(KEY, (5, 4))
    params = jax.jit(model.init)(KEY, {'x': x})['params']
    leaves, structure = jax.tree.flatten(params['ladder'])
    keys = jax.random.split(KEY, len(leaves))
    params['ladder'] = structure.unflatten(
        [
            leaf + 0.15 * jax.random.normal(k, leaf.shape)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
    )
    for level, dim in enumerate(ladder.dims):
        for name in ('prior', 'posterior'):
            out = params['ladder'][f'level_{level}_{name}']['out']
            out['kernel'] = out['kernel'].at[:, dim : 2 * dim].set(0.0)
    variables = {'params': params, 'state': {}}

    @jax.jit
    def mean(noise):
        return model._decode(
            variables, ladder.apply({'params': params['ladder']}, noise, method='generate')[1]
        )

    at_zero = mean(jnp.zeros((1, 3)))[0]
    columns = mean(jnp.eye(3)) - at_zero  # the data are linear in the noise of the prior
    covariance = columns.T @ columns + SCALE**2 * np.eye(4)
    exact = scipy.stats.multivariate_normal(at_zero, covariance).logpdf(x)
    assert np.linalg.matrix_rank(columns, tol=1e-3) == 3
    return model, variables, x, exact


def test_elbo_is_below_the_exact_density_and_importance_weighting_reaches_it(linear):
    model, variables, x, exact = linear
    loss = jax.jit(lambda key: model.phases[0].loss(variables, {'x': x}, key))
    values = jax.lax.map(lambda key: loss(key).values, jax.random.split(KEY, 500))
    error = np.std(values, axis=0) / np.sqrt(500)
    assert np.all(-np.mean(values, axis=0) <= exact + 4 * error)
    bound = jax.jit(model.log_prob)(variables, x, KEY).value
    np.testing.assert_allclose(bound, exact, atol=0.15)
    assert np.mean(exact + np.mean(values, axis=0)) > 0.05  # the posterior is not exact


def test_rates_are_those_of_the_levels_and_agree_with_samples(linear):
    model, variables, x, _ = linear
    climb = jax.jit(lambda key: model._climb(
        variables, model._encode(variables, x),
        jax.random.normal(key, (len(x), model.latent_dim))))  # fmt: skip
    draws = jax.lax.map(climb, jax.random.split(KEY, 4000))
    error = np.std(draws.log_ratio + jnp.sum(draws.rates, -1), axis=0) / np.sqrt(4000)
    difference = np.mean(draws.log_ratio + jnp.sum(draws.rates, -1), axis=0)
    assert np.all(np.abs(difference) <= 4.5 * error)
    out = jax.jit(model.phases[0].loss)(variables, {'x': x}, KEY)
    np.testing.assert_allclose(
        out.metrics['rate'], out.metrics['rate_1'] + out.metrics['rate_2'], rtol=1e-5
    )
    free = dataclasses.replace(model, free_bits=100.0)
    free = jax.jit(free.phases[0].loss)(variables, {'x': x}, KEY)
    np.testing.assert_allclose(free.values, out.metrics['distortion'] + 200, rtol=1e-5)


def test_codes_decode_to_what_generated_them(linear):
    model, variables, _, _ = linear
    noise = jax.random.normal(KEY, (3, 3))
    params = {'params': variables['params']['ladder']}
    z, hidden = model.ladder.apply(params, noise, method='generate')
    np.testing.assert_allclose(
        model.ladder.apply(params, z, method='decode'), hidden, rtol=1e-4, atol=1e-5
    )


def test_kl_of_normals():
    mean, log_std = jnp.array([[0.5, -1.0]]), jnp.array([[0.2, -0.7]])
    want = gaussian_kl_to_standard(mean, log_std)
    np.testing.assert_allclose(
        _gaussian_kl(mean, log_std, jnp.zeros(2), jnp.zeros(2)), want, rtol=1e-5
    )
    moved = _gaussian_kl(2 * mean + 1, log_std + jnp.log(2.0), jnp.ones(2), jnp.log(2.0))
    np.testing.assert_allclose(moved, want, rtol=1e-5)
