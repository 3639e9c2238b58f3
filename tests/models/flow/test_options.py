"""Options of flows against closed forms: caches, guidance, learned priors, noise."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.data import AddNoise
from genjax.data import Chain as Steps
from genjax.errors import UserError
from genjax.models import Flow
from genjax.models.flow import (
    Affine,
    Autoregressive,
    Chain,
    Coupling,
    DequantisedFlow,
    FlowSampling,
    Repeat,
    Reverse,
    Spline,
    Split,
)
from genjax.networks import MLP, MaskedMLP, TokenTransformer
from tests.models.flow.test_bijections import random_params
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(2)


class ByPasses(TokenTransformer):
    """Without a cache."""

    step = None


@pytest.mark.parametrize('context', [None, full((4, 5)), full((4, 2))])
@pytest.mark.parametrize('transform', [Affine(), Spline(4)])
def test_a_cache_does_not_change_the_inverse(transform, context):
    z = jax.random.normal(KEY, (4, 6, 3))
    given = () if context is None else (jax.random.normal(KEY, context),)
    layers = [
        Repeat(Chain((Autoregressive(kind(8, 2, 2), transform), Reverse(axis=1))), 2)
        for kind in (TokenTransformer, ByPasses)
    ]
    variables = random_params(lambda k, z: layers[0].init(k, z, *given), z, 1)

    def inverse(layer):
        return jax.jit(lambda z: layer.apply(variables, z, *given, method='inverse_and_log_det'))(z)

    (x, log_det), (want, other) = map(inverse, layers)
    np.testing.assert_allclose(x, want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(log_det, other, rtol=1e-3, atol=1e-4)
    back, change = jax.jit(layers[0].apply)(variables, x, *given)
    np.testing.assert_allclose(back, z, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(change, -log_det, rtol=1e-3, atol=1e-3)


LABELS = Flow(
    Autoregressive(MaskedMLP((6,))), (2,), num_classes=3, condition_dropout=0.2,
    sampling=FlowSampling(guidance=2.5),
)  # fmt: skip


def test_guidance_mixes_the_parameters_of_the_maps():
    """One layer of MAF by hand: each number in turn, with the parameters given both contexts."""
    label, x = jnp.array([0, 1, 2, 1]), np.zeros((4, 2))
    variables = random_params(lambda k, x: LABELS.init(k, {'x': x, 'label': label}), x, 1)
    z = LABELS.base.sample(jax.random.split(KEY)[1], (4, 2))
    network = MaskedMLP((6,), outputs=2)
    params = {'params': variables['params']['flow']['masked']}

    def rows(context):
        tokens = jnp.zeros((4, 3, 4)).at[:, 0].set(context).at[:, 1:, 0].set(x)
        return network.apply(params, tokens)[:, 1:]

    strong, null = jax.nn.one_hot(label, 4), jax.nn.one_hot(jnp.full(4, 3), 4)
    for t in range(2):
        weak = rows(null)
        mixed = weak + 2.5 * (rows(strong) - weak)
        x[:, t] = Affine().inverse(mixed[:, t], z[:, t])[0]
    got = jax.jit(lambda: LABELS.sample(variables, KEY, 4, label=label))()
    np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-4)
    same = dataclasses.replace(LABELS, sampling=FlowSampling(guidance=1.0))
    plain = dataclasses.replace(LABELS, sampling=FlowSampling())
    want = plain.sample(variables, KEY, 4, label=label)
    np.testing.assert_allclose(
        same.sample(variables, KEY, 4, label=label), want, rtol=1e-4, atol=1e-4
    )
    # Without a label: the density of the null condition.
    null = plain.log_prob(variables, want, KEY, label=jnp.full(4, 3)).value
    np.testing.assert_allclose(plain.log_prob(variables, want, KEY).value, null, rtol=1e-5)
    assert plain.encode(variables, want, KEY, label=label).shape == (4, 5)
    with pytest.raises(UserError, match='condition_dropout'):
        dataclasses.replace(LABELS, condition_dropout=0.0)


def test_a_learned_prior_of_a_scale():
    """Glow: what is final is normal, given the rest."""
    model = Flow(Split(Chain(()), Coupling(MLP((5,)))), (5,))
    x = jax.random.normal(KEY, (6, 5))
    variables = random_params(lambda k, x: model.init(k, {'x': x}), x, 1)
    done, rest = np.asarray(x[:, :2]), np.asarray(x[:, 2:])
    params = variables['params']['flow']['prior']
    h = MLP((5,)).apply({'params': params['network']}, jnp.arcsinh(rest))
    h = (h @ params['head']['kernel'] + params['head']['bias']).reshape(6, 2, 2)
    log_scale = 3 * np.tanh(h[..., 0] / 3)
    prior = scipy.stats.norm(-h[..., 1] * np.exp(-log_scale), np.exp(-log_scale))
    want = prior.logpdf(done).sum(-1) + scipy.stats.norm.logpdf(rest).sum(-1)
    np.testing.assert_allclose(model.log_prob(variables, x, KEY).value, want, rtol=1e-4)
    z = model.encode(variables, x, KEY)
    np.testing.assert_allclose(model.decode(variables, z, KEY), x, rtol=1e-4, atol=1e-5)


def test_denoised_samples_are_the_means_of_the_clean_ones():
    """Of a normal flow in closed form: E[x | y] = Σ (Σ + σ²)⁻¹ y, for y of covariance Σ + σ²."""
    model = Flow(Autoregressive(MaskedMLP(())), (2,), sampling=FlowSampling(denoise=0.6))
    variables = random_params(lambda k, x: model.init(k, {'x': x}), jnp.zeros((2, 2)), 1)
    layer = variables['params']['flow']['masked']['output']
    layer['kernel'] = layer['kernel'].at[:, ::2].set(0.0)  # scales that do not depend on x
    noisy = dataclasses.replace(model, sampling=FlowSampling())
    y, x = (
        np.asarray(jax.jit(lambda v, m=m: m.sample(v, KEY, 5))(variables)) for m in (noisy, model)
    )
    zero = np.asarray(noisy.decode(variables, jnp.zeros((1, 2)), KEY))
    columns = np.asarray(noisy.decode(variables, jnp.eye(2), KEY)) - zero
    covariance = columns.T @ columns
    want = zero + (y - zero) @ (np.eye(2) - 0.36 * np.linalg.inv(covariance))
    np.testing.assert_allclose(x, want, rtol=1e-3, atol=1e-3)


def test_noise_of_the_training_examples():
    x = jnp.ones((2000, 3))
    y, log_det = Steps((AddNoise(0.3),))(x, KEY)
    assert scipy.stats.kstest(np.ravel((y - 1) / 0.3), 'norm').pvalue > 0.01
    assert Steps((AddNoise(0.3),)).lossy and np.all(np.isnan(log_det))


def test_learned_dequantisation_against_quadrature():
    """Of two pixels of three values: the importance weights of the noise have the mean P(x)."""
    labels = {'num_classes': 2}
    noise = Chain((Coupling(MLP((5,))), Reverse(), Coupling(MLP((5,)))))
    flow = Chain((Coupling(MLP((4,))), Reverse(), Coupling(MLP((4,)))))
    model = DequantisedFlow(flow, (2,), noise=noise, levels=3, **labels)
    every = jnp.array(list(itertools.product(range(3), repeat=2)), jnp.float32)
    label = jnp.arange(9) % 2

    def init(key, x):
        return model.init(key, {'x': x, 'label': label})

    variables = random_params(init, every, 1)
    for layer in ('layers_0', 'layers_2'):  # wide noise: no importance weight is large
        bias = variables['params']['noise'][layer]['head']['bias']
        variables['params']['noise'][layer]['head']['bias'] = bias.at[0].set(1.0)
    # The density of the flow of y, over the cell of each x.
    density, fine = Flow(flow, (2,), **labels), (np.arange(200) + 0.5) / 200
    u = jnp.array(list(itertools.product(fine, repeat=2)))
    share = 0.05 + 0.9 * (every[:, None] + u) / 3
    y = jax.scipy.special.logit(share)
    log_slope = jnp.sum(jnp.log(0.3) - jnp.log(share) - jnp.log1p(-share), -1)
    log_prob = jax.vmap(
        lambda y, label: density.log_prob(variables, y, KEY, label=jnp.full(len(y), label)).value
    )(y, label)
    mass = jnp.mean(jnp.exp(log_prob + log_slope), axis=1)
    keys = jax.random.split(KEY, 20_000)
    bounds = jax.jit(
        jax.vmap(lambda key: model.log_prob(variables, every, key, label=label).value)
    )(keys)
    error = np.std(np.exp(bounds), 0) / np.sqrt(len(keys))
    np.testing.assert_array_less(np.abs(np.mean(np.exp(bounds), 0) - mass), 5 * error + 1e-4)
    assert np.all(error < 0.05 * mass) and np.all(np.mean(bounds, 0) < np.log(mass))
    # Samples are whole numbers, of these masses given their class.
    x = jax.jit(model.sample, static_argnums=2)(
        variables, KEY, 20_000, label=jnp.zeros(20_000, int)
    )
    shares = np.bincount(np.asarray(x @ jnp.array([3, 1]), int), minlength=9) / len(x)
    np.testing.assert_allclose(shares[::2], mass[::2], atol=0.015)
    loss = model.phases[0].loss(variables, {'x': every, 'label': label}, KEY)
    assert loss.values.shape == (9,)
