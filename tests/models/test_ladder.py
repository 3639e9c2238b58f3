"""The ladder against a linear Gaussian model, whose density is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.errors import UserError
from genjax.models import Gaussian, LadderVAE
from genjax.models.vae.bounds import gaussian_kl_to_standard
from genjax.networks import MLP, ConvLadder, ConvNet
from genjax.networks.conv_ladder import _pooled
from genjax.networks.ladder import Ladder, _gaussian_kl
from tests.tiers import few

pytestmark = pytest.mark.slow

KEY = jax.random.key(2)
SCALE = 0.8


PARTS = {
    'vectors': (MLP((), shape=(6,)), Ladder((1, 2), width=6, activation='identity')),
    'maps': (
        ConvNet((6,), activation='identity'),
        ConvLadder((1, 2), 1, width=6, bottleneck=4, activation='identity'),
    ),
}


@pytest.fixture(scope='module', params=few(list(PARTS), ['vectors']))
def linear(request):
    """Two levels without activations and with scales that do not depend on the code above."""
    encoder, ladder = PARTS[request.param]
    decoder = MLP((), shape=(2, 2, 1))
    model = LadderVAE(encoder, ladder, decoder, Gaussian(SCALE), eval_samples=10_000)
    x = jax.random.normal(KEY, (5, 2, 2, 1))
    params = jax.jit(model.init)(KEY, {'x': x})['params']
    leaves, structure = jax.tree.flatten(params['ladder'])
    keys = jax.random.split(KEY, len(leaves))
    params['ladder'] = structure.unflatten(
        [
            leaf + 0.15 * jax.random.normal(k, leaf.shape)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
    )
    for level, (*_, dim) in enumerate(ladder.code_shapes):
        for name in ('prior', 'posterior'):
            out = params['ladder'][f'level_{level}_{name}']['out']
            out['kernel'] = out['kernel'].at[..., dim : 2 * dim].set(0.0)
    variables = {'params': params, 'state': {}}

    @jax.jit
    def mean(noise):
        hidden = ladder.apply({'params': params['ladder']}, noise, method='generate')[1]
        return model._decode(variables, hidden).reshape(-1, 4)

    at_zero = mean(jnp.zeros((1, model.latent_dim)))[0]
    columns = (
        mean(jnp.eye(model.latent_dim)) - at_zero
    )  # the data are linear in the noise of the prior
    covariance = columns.T @ columns + SCALE**2 * np.eye(4)
    exact = scipy.stats.multivariate_normal(at_zero, covariance).logpdf(x.reshape(5, 4))
    assert np.linalg.matrix_rank(columns, tol=1e-3) >= 3
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
    noise = jax.random.normal(KEY, (3, model.latent_dim))
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


def test_levels_of_maps_grow_to_the_nearest_neighbours_and_shrink_to_means():
    ladder = ConvLadder((1, 2, 4), width=3)
    x = jax.random.normal(KEY, (2, 2, 2, 3))
    grown = ladder._at(2, x)
    assert grown.shape == (2, 4, 4, 3)
    for i, j in np.ndindex(4, 4):
        np.testing.assert_array_equal(grown[:, i, j], x[:, i // 2, j // 2])
    np.testing.assert_allclose(_pooled(grown, 2), x, rtol=1e-6)
    np.testing.assert_allclose(_pooled(grown, 1)[:, 0, 0], jnp.mean(x, (1, 2)), rtol=1e-5)
    with pytest.raises(UserError, match='divide'):
        ConvLadder((2, 3))
