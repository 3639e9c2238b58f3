"""Gradients, priors and independence of codes against closed forms and direct sums."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.errors import UserError
from genjax.evaluation.mmd import mmd2
from genjax.models import VAE, BetaTCVAE, FactorVAE, Gaussian, GaussianMixture, VampPrior
from genjax.models.classes import class_log_probs
from genjax.models.vae.bounds import gaussian_log_prob, log_mean_exp, scale_gradient
from genjax.models.vae.disentangling import minibatch_log_marginals, permute_dims
from genjax.models.vae.info import batch_mmd2
from genjax.models.vae.objectives import dreg_surrogate, with_free_bits
from genjax.models.vae.priors import mixture_log_prob, mixture_sample
from genjax.networks import MLP
from tests.models.zoo import BY_NAME
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(7)


def _gradients(model, variables, batch, keys):
    """The gradient of the summed loss for each key, one row each: {group: [keys, parameters]}."""

    def gradient(key):
        def total(params):
            return jnp.sum(model.phases[0].loss({**variables, 'params': params}, batch, key).values)

        tree = jax.grad(total)(variables['params'])
        return {g: jnp.concatenate([a.ravel() for a in jax.tree.leaves(tree[g])]) for g in tree}

    return jax.jit(lambda: jax.lax.map(gradient, keys, batch_size=100))()


@pytest.mark.parametrize(
    ('bound', 'usual', 'groups'), [full('dreg', 'iwae', 1), ('dreg', 'iwae', 4), ('stl', 'elbo', 1)]
)
def test_gradients_have_the_expectation_of_the_usual_ones(bound, usual, groups):
    fields = {'num_samples': 16, 'num_groups': groups}
    model = VAE(MLP((3,)), MLP((), shape=(2,)), 1, Gaussian(1.0), bound=bound, **fields)
    batch = {'x': jnp.array([[0.3, -0.8]])}
    variables = jax.jit(model.init)(KEY, batch)
    keys = jax.random.split(KEY, 4000)
    ours = _gradients(model, variables, batch, keys)
    other = _gradients(dataclasses.replace(model, bound=usual), variables, batch, keys)
    # Of the decoder it is the same estimate, sample by sample.
    np.testing.assert_allclose(ours['decoder'], other['decoder'], rtol=1e-3, atol=1e-4)
    error = np.sqrt((np.var(ours['encoder'], 0) + np.var(other['encoder'], 0)) / len(keys))
    difference = np.mean(ours['encoder'], 0) - np.mean(other['encoder'], 0)
    assert np.all(np.abs(difference) <= 4.5 * error + 1e-6)
    assert np.any(np.abs(np.mean(other['encoder'], 0)) > 5 * error)
    assert np.any(np.abs(ours['encoder'] - other['encoder']) > error)
    if bound == 'dreg':
        assert np.sum(np.var(ours['encoder'], 0)) < 0.7 * np.sum(np.var(other['encoder'], 0))


@pytest.mark.parametrize('bound', ['miwae', 'ciwae', 'piwae'])
def test_bounds_of_groups_by_their_definitions(bound):
    """Rainforth et al., 2018, eqs. 8 to 10, of the log-weights of the same noise."""
    fields = {
        'miwae': {'bound': 'iwae', 'num_groups': 2},
        'ciwae': {'bound': 'iwae', 'elbo_share': 0.3},
        'piwae': {'bound': 'piwae', 'num_groups': 2},
    }[bound]
    model = VAE(MLP((3,)), MLP((), shape=(2,)), 1, Gaussian(1.0), num_samples=6, **fields)
    batch = {'x': jnp.array([[0.3, -0.8], [1.0, 2.0]])}
    variables = jax.jit(model.init)(KEY, batch)
    draw_key = jax.random.split(jax.random.split(KEY)[0])[0]
    noise = jax.random.normal(jax.random.split(draw_key)[0], (6, 2, 1))

    def bounds(params):
        """The bound of all, of the first and the last three, and of each."""
        new = {**variables, 'params': params}
        mean, log_std, _ = model.posterior(new, batch['x'])
        z = mean + jnp.exp(log_std) * noise
        log_q = gaussian_log_prob(z, mean, log_std)
        log_likelihood = jax.vmap(lambda z: model.log_likelihood(new, batch['x'], z))(z)
        weights = jnp.exp(log_likelihood + gaussian_log_prob(z) - log_q)
        halves = jnp.log(jnp.mean(weights[:3], 0)), jnp.log(jnp.mean(weights[3:], 0))
        groups = (halves[0] + halves[1]) / 2
        return jnp.log(jnp.mean(weights, 0)), groups, jnp.mean(jnp.log(weights), 0)

    def of(number, group):
        tree = jax.grad(lambda params: -jnp.sum(bounds(params)[number]))(variables['params'])
        return jnp.concatenate([a.ravel() for a in jax.tree.leaves(tree[group])])

    value = -model.phases[0].loss(variables, batch, KEY).values
    every, groups, elbo = bounds(variables['params'])
    got = _gradients(model, variables, batch, KEY[None])
    if bound == 'ciwae':
        want = 0.3 * elbo + 0.7 * every
        gradients = {g: 0.3 * of(2, g) + 0.7 * of(0, g) for g in got}
    else:
        want = groups if bound == 'miwae' else every
        gradients = {'encoder': of(1, 'encoder'), 'decoder': of(int(bound == 'miwae'), 'decoder')}
    np.testing.assert_allclose(value, want, rtol=1e-5)
    for group, gradient in gradients.items():
        np.testing.assert_allclose(got[group][0], gradient, rtol=1e-3, atol=1e-4)
    assert np.max(np.abs(every - groups)) > 1e-3 and np.max(np.abs(every - elbo)) > 1e-3


def test_dreg_has_the_value_of_the_bound_and_its_weights():
    slope = jnp.array([0.5, -1.0, 2.0])

    def log_weights(z, slope=slope):
        return jnp.sum(jnp.sin(z), axis=-1) * slope[:, None]

    z = jax.random.normal(KEY, (3, 4, 2))
    want = log_mean_exp(log_weights(z))
    np.testing.assert_allclose(dreg_surrogate(log_weights, z), want, rtol=1e-5)
    shares = jax.nn.softmax(log_weights(z), axis=0)
    got = jax.grad(lambda z: jnp.sum(dreg_surrogate(log_weights, z)))(z)
    np.testing.assert_allclose(
        got, shares[..., None] ** 2 * jnp.cos(z) * slope[:, None, None], rtol=1e-4
    )
    got = jax.grad(lambda s: jnp.sum(dreg_surrogate(lambda z: log_weights(z, s), z)))(slope)
    np.testing.assert_allclose(got, jnp.sum(shares * jnp.sum(jnp.sin(z), -1), axis=1), rtol=1e-4)


def test_scale_gradient():
    x, factor = jnp.arange(3.0), jnp.array([1.0, 0.0, -2.0])
    value, pull = jax.vjp(lambda x: scale_gradient(x, factor), x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(pull(jnp.ones(3))[0], factor)


def test_free_bits_cost_what_lies_above_them():
    rates = jnp.array([[0.1, 2.0], [0.0, 0.3]])
    np.testing.assert_allclose(with_free_bits(rates, 0.5), [2.5, 1.0])
    np.testing.assert_allclose(with_free_bits(rates, 0.0), [2.1, 0.3])
    slope = jax.grad(lambda r: jnp.sum(with_free_bits(r, 0.5)))
    np.testing.assert_array_equal(slope(rates), [[0, 1], [0, 0]])
    # Over the batch the second mean lies above them, and pulls at the small rate in it as well.
    rates, mask = jnp.vstack([rates, jnp.array([9.0, 9.0])]), jnp.array([True, True, False])
    mean = np.mean(with_free_bits(rates, 0.5, mask)[:2])
    np.testing.assert_allclose(mean, 0.5 + (2.0 + 0.3) / 2)
    slope = jax.grad(lambda r: jnp.sum(with_free_bits(r, 0.5, mask)[:2]))
    np.testing.assert_array_equal(slope(rates), [[0, 1], [0, 1], [0, 0]])


@pytest.mark.full
def test_free_bits_over_the_batch_of_levels_and_dimensions():
    for name, rates in (('ladder', 'rate_1'), ('vae-labels-free-bits', 'rate')):
        entry = BY_NAME[name]
        batch, variables = entry.batch(), jax.jit(entry.model.init)(KEY, entry.batch())
        free = dataclasses.replace(entry.model, free_bits=50.0, free_bits_over='batch')
        out = jax.jit(free.phases[0].loss)(variables, batch, KEY)
        np.testing.assert_allclose(out.values - out.metrics['distortion'], 150, rtol=1e-4)
        assert float(jnp.max(out.metrics[rates])) < 50


def test_the_discrepancy_from_the_prior():
    z, prior = jax.random.normal(KEY, (2, 9, 3)) * jnp.array([1.5, 1.0])[:, None, None]
    mask = jnp.arange(9) < 6
    want = mmd2(z[:6], prior, jnp.array([0.8]))
    np.testing.assert_allclose(batch_mmd2(z, prior, mask, 0.8), want, rtol=1e-5)
    entry = BY_NAME['vae-info']
    variables = jax.jit(entry.model.init)(KEY, entry.batch())
    out = jax.jit(entry.model.phases[0].loss)(variables, entry.batch(), KEY)
    added = out.values - out.metrics['distortion'] - 0.5 * out.metrics['rate']
    np.testing.assert_allclose(added, 20 * out.metrics['mmd2'], rtol=1e-3, atol=1e-4)
    assert float(out.metrics['mmd2']) != 0


def test_mixtures_against_scipy():
    rng = np.random.default_rng(0)
    mean, log_std = rng.standard_normal((3, 2)), rng.standard_normal((3, 2)) / 3
    logits, z = np.array([0.5, -1.0, 0.0]), rng.standard_normal((4, 2))
    weights = np.exp(logits) / np.exp(logits).sum()
    density = sum(
        w * np.prod(scipy.stats.norm(m, np.exp(s)).pdf(z), axis=-1)
        for w, m, s in zip(weights, mean, log_std, strict=True)
    )
    got = mixture_log_prob(*(jnp.asarray(a, jnp.float32) for a in (z, mean, log_std, logits)))
    np.testing.assert_allclose(got, np.log(density), rtol=1e-5)
    draws = mixture_sample(
        KEY, (20_000, 2), jnp.asarray(mean), jnp.asarray(log_std), jnp.log(weights)
    )
    np.testing.assert_allclose(np.mean(draws, 0), weights @ mean, atol=0.05)


def test_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    entry = BY_NAME['vae-vamp']
    model, batch = entry.model, entry.batch()
    variables = jax.jit(model.init)(KEY, batch)
    inputs = variables['params']['prior']['inputs']
    assert inputs.shape == (5, 8, 8, 1)
    assert float(jnp.max(jnp.abs(inputs - batch['x'][:5]))) < 0.6  # noise of .1
    mean, log_std, _ = model._encode_centred(variables, inputs)
    z = jax.random.normal(KEY, (4, 3))
    each = jnp.stack([gaussian_log_prob(z, m, s) for m, s in zip(mean, log_std, strict=True)])
    np.testing.assert_allclose(model.prior_log_prob(variables, z), log_mean_exp(each), rtol=1e-5)


def test_total_correlation_and_the_rest_sum_to_the_rate():
    entry = BY_NAME['vae-beta-tc']
    model, batch = entry.model, entry.batch()
    variables = jax.jit(model.init)(KEY, batch)
    plain = jax.jit(dataclasses.replace(model, beta=1.0).phases[0].loss)(variables, batch, KEY)
    weighted = jax.jit(model.phases[0].loss)(variables, batch, KEY)
    parts = ('mutual_information', 'total_correlation', 'dimension_kl')
    total = sum(plain.metrics[name] for name in parts)
    draw, _ = model._draw(variables, batch, jax.random.split(jax.random.split(KEY)[0])[0])
    log_ratio = (draw.log_prob - gaussian_log_prob(draw.z))[0]
    np.testing.assert_allclose(total, log_ratio, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        weighted.values - plain.values, 3 * plain.metrics['total_correlation'], rtol=1e-3, atol=1e-3
    )


def test_log_marginals_against_direct_sums():
    rng = np.random.default_rng(0)
    z, mean = rng.standard_normal((2, 3)), rng.standard_normal((4, 3))
    log_std, mask = rng.standard_normal((4, 3)) / 2, np.array([True, True, False, True])
    density = scipy.stats.norm(mean, np.exp(log_std)).pdf(z[:, None])[:, mask]
    arrays = (jnp.asarray(a, jnp.float32) for a in (z, mean, log_std))
    joint, marginals = minibatch_log_marginals(*arrays, jnp.asarray(mask))
    np.testing.assert_allclose(joint, np.log(density.prod(-1).sum(1) / 3), rtol=1e-5)
    np.testing.assert_allclose(marginals, np.log(density.sum(1) / 3), rtol=1e-5)


def test_permuting_keeps_each_dimension():
    z = jax.random.normal(KEY, (50, 3))
    shuffled = permute_dims(KEY, z)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(z, axis=0))
    order = np.argsort(np.argsort(shuffled, axis=0), axis=0)
    assert not np.array_equal(order[:, 0], order[:, 1])


@pytest.mark.full
def test_factor_vae_turns():
    entry = BY_NAME['vae-factor']
    model, batch = entry.model, entry.batch()
    variables = jax.jit(model.init)(KEY, batch)
    autoencoder, discriminator = model.phases
    assert discriminator.trains == ('discriminator',)
    assert autoencoder.trains == ('encoder', 'decoder')

    def total(params):
        out = discriminator.loss({**variables, 'params': params}, batch, KEY)
        return jnp.sum(out.values)

    gradient = jax.jit(jax.grad(total))(variables['params'])
    for group in ('encoder', 'decoder'):
        assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(gradient[group]))
    assert any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient['discriminator']))
    plain = jax.jit(dataclasses.replace(model, gamma=0.0).phases[0].loss)(variables, batch, KEY)
    out = jax.jit(autoencoder.loss)(variables, batch, KEY)
    np.testing.assert_allclose(
        out.values - plain.values, 10 * out.metrics['total_correlation'], rtol=1e-3, atol=1e-4
    )


def test_labels_reach_encoder_and_decoder():
    entry = BY_NAME['vae-labels-free-bits']
    model, batch = entry.model, entry.batch()
    variables = jax.jit(model.init)(KEY, batch)
    by_class = jax.jit(functools.partial(class_log_probs, model))(variables, batch['x'], KEY)
    assert by_class.value.shape == (8, 3) and by_class.kind == 'lower_bound'
    labelled = jax.jit(model.log_prob)(variables, batch['x'], KEY, label=jnp.full(8, 2))
    np.testing.assert_allclose(by_class.value[:, 2], labelled.value, rtol=1e-6)
    want = log_mean_exp(by_class.value, axis=1)
    got = jax.jit(model.log_prob)(variables, batch['x'], KEY).value
    np.testing.assert_allclose(got, want, rtol=1e-6)
    z = jax.jit(model.encode)(variables, batch['x'], KEY)
    assert z.shape == (8, 6)
    np.testing.assert_array_equal(jnp.sum(z[:, 3:], axis=1), 1)
    other = z.at[:, 3:].set(jnp.roll(z[:, 3:], 1, axis=1))
    same, changed = (jax.jit(model.decode)(variables, code, KEY) for code in (z, other))
    assert jnp.all(jnp.any(same != changed, axis=(1, 2, 3)))
    with pytest.raises(UserError, match='no labels'):
        model.init(KEY, {'x': batch['x']})


def test_mistakes_are_named():
    networks = MLP((4,)), MLP((4,), shape=(3,)), 2
    with pytest.raises(UserError, match='free_bits'):
        VAE(*networks, free_bits=0.1, bound='iwae')
    with pytest.raises(UserError, match='free_bits'):
        VAE(*networks, free_bits=0.1, prior=GaussianMixture(2))
    with pytest.raises(UserError, match='conditional VAE'):
        VAE(*networks, num_classes=3, prior=VampPrior(2))
    with pytest.raises(UserError, match='components'):
        VampPrior(0)
    with pytest.raises(UserError, match='BetaTCVAE'):
        BetaTCVAE(*networks, bound='iwae')
    with pytest.raises(TypeError, match='discriminator'):
        FactorVAE(*networks)
