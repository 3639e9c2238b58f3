"""Autoencoders with a discriminator against numpy, and who is given which gradient."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import KLAutoencoder, VQAutoencoder
from genjax.models.vae.first_stages import MOMENTS_DECAY
from genjax.networks import MLP, MapDecoder, MapEncoder
from genjax.networks.layers import ResidualBlock
from genjax.networks.quantisers import FiniteScalarQuantiser
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(5)
X = np.random.default_rng(0).uniform(-1, 1, (4, 2, 2, 1)).astype(np.float32)
BATCH = {'x': jnp.asarray(X), 'mask': jnp.array([True, True, False, True])}


class Pixels(nn.Module):
    """Each pixel to itself, as encoder and decoder."""

    shape: tuple[int, ...] = (2, 2, 1)

    @nn.compact
    def __call__(self, x):
        self.param('unused', nn.initializers.zeros, ())
        return x


class Judge(nn.Module):
    """Two convolutions, one logit a pixel; it sows features, which matching leaves alone."""

    @nn.compact
    def __call__(self, x):
        h = nn.Conv(3, (1, 1), name='first')(x)
        self.sow('intermediates', 'features', h)
        return nn.Conv(1, (1, 1), name='second')(jnp.tanh(h))


def of_pixels(kind=KLAutoencoder, **fields):
    """An autoencoder of 2x2 pictures with one linear layer, and its variables."""
    fields = {'channels': 1, **fields} if kind is KLAutoencoder else fields
    model = kind(encoder=Pixels(), decoder=Pixels(), discriminator=Judge(), **fields)
    return model, model.init(KEY, BATCH)


def loss_of(model, variables, phase=0):
    return jax.jit(model.phases[phase].loss)(variables, BATCH, KEY)


def with_head(variables, kernel, bias):
    """The linear layer to the code set to given numbers."""
    head = {'kernel': jnp.asarray(kernel), 'bias': jnp.asarray(bias)}
    encoder = {**variables['params']['encoder'], 'head': head}
    return {**variables, 'params': {**variables['params'], 'encoder': encoder}}


def judged(variables, x):
    """Features and logits of the judge, in numpy."""
    params = jax.device_get(variables['params']['discriminator'])
    h = x @ params['first']['kernel'][0, 0] + params['first']['bias']
    logits = np.tanh(h) @ params['second']['kernel'][0, 0] + params['second']['bias']
    return (h, logits), logits


def mean(x):
    return np.asarray(x).reshape(4, -1).mean(1)


@pytest.mark.parametrize('loss', ['hinge', 'non_saturating'])
@pytest.mark.parametrize('reconstruction', ['l1', full('l2')])
def test_the_loss_against_numpy(loss, reconstruction):
    weights = {'feature': 0.7, 'adversarial': 0.3, 'kl': 0.2}
    model, variables = of_pixels(loss=loss, reconstruction=reconstruction, **weights)
    # Mean 0.5 x + 0.1; a standard deviation too small to matter for what is decoded.
    variables = with_head(variables, [[0.5, 0.0]], [0.1, -12.0])
    out = loss_of(model, variables)
    y = 0.5 * X + 0.1
    log_std = 10 * np.tanh(-1.2)
    error = X - y
    reconstructed = mean(np.abs(error) if reconstruction == 'l1' else error**2)
    kl = (0.5 * (y**2 + np.exp(2 * log_std) - 1) - log_std).reshape(4, -1).sum(1)
    (real, _), (fake, logits) = judged(variables, X), judged(variables, y)
    feature = np.mean([mean(np.abs(a - b)) for a, b in zip(real, fake, strict=True)], axis=0)
    adversarial = mean(-logits if loss == 'hinge' else np.log1p(np.exp(-logits)))
    want = reconstructed + 0.7 * feature + 0.3 * adversarial + 0.2 * kl / 4
    np.testing.assert_allclose(out.metrics['rate'], kl, rtol=1e-5)
    np.testing.assert_allclose(out.metrics['feature'], feature, atol=2e-3)
    np.testing.assert_allclose(out.values, want, atol=2e-3)


def test_the_discriminators_loss_against_numpy():
    model, variables = of_pixels()
    variables = with_head(variables, [[0.5, 0.0]], [0.1, -12.0])
    out = loss_of(model, variables, phase=1)
    real, fake = judged(variables, X)[1], judged(variables, 0.5 * X + 0.1)[1]
    want = mean(np.maximum(1 - real, 0) + np.maximum(1 + fake, 0))
    np.testing.assert_allclose(out.values, want, atol=2e-3)
    np.testing.assert_allclose(out.metrics['real_logit'], mean(real), atol=1e-5)


def test_adaptive_weight_makes_the_gradients_of_a_picture_alike():
    """The share of each loss in the gradient with respect to the picture, by finite differences."""
    model, variables = of_pixels(feature=0.0, adversarial=0.3, kl=0.0, reconstruction='l2')
    variables = with_head(variables, [[0.5, 0.0]], [0.1, -12.0])
    plain = loss_of(model, variables)
    adaptive = loss_of(dataclasses.replace(model, adaptive=True), variables)
    factor = (adaptive.values - plain.metrics['reconstruction']) / (
        0.3 * plain.metrics['adversarial']
    )
    y, step = np.float64(0.5 * X + 0.1), 1e-5

    def norm(function):
        slopes = []
        for place in np.ndindex(2, 2, 1):
            change = np.zeros_like(y)
            change[(slice(None), *place)] = step
            slopes.append((function(y + change) - function(y - change)) / (2 * step))
        return np.linalg.norm(slopes, axis=0)

    pull = norm(lambda y: mean((X - y) ** 2))
    push = norm(lambda y: mean(-judged(variables, y)[1]))
    np.testing.assert_allclose(factor, pull / (push + 1e-4), rtol=0.02)


def test_each_player_follows_its_own_gradient():
    """By finite differences: the picture's bias, and the last bias of the judge."""
    model, variables = of_pixels(feature=0.0, adversarial=3.0, kl=0.0)
    variables = with_head(variables, [[0.5, 0.0]], [0.1, -12.0])
    step = 1e-3

    def players_loss(bias):
        y = 0.5 * X + bias
        return np.sum(mean(np.abs(X - y)) - 3.0 * mean(judged(variables, y)[1]))

    def judges_loss(bias):
        real, fake = judged(variables, X)[1] + bias, judged(variables, 0.5 * X + 0.1)[1] + bias
        return np.sum(mean(np.maximum(1 - real, 0) + np.maximum(1 + fake, 0)))

    def gradient(phase):
        def total(params):
            return jnp.sum(phase.loss({**variables, 'params': params}, BATCH, KEY).values)

        return jax.jit(jax.grad(total))(variables['params'])

    player, judge = (gradient(phase) for phase in model.phases)
    want = (players_loss(0.1 + step) - players_loss(0.1 - step)) / (2 * step)
    assert float(player['encoder']['head']['bias'][0]) == pytest.approx(want, abs=0.02)
    want = (judges_loss(step) - judges_loss(-step)) / (2 * step)
    found = judge['discriminator']['second']['bias'][0]
    assert float(found) == pytest.approx(want, abs=0.02)


@pytest.mark.full
def test_what_is_not_weighted_gives_no_gradient():
    model, variables = of_pixels(feature=0.0, adversarial=0.0, kl=0.0)

    def total(params, model):
        loss = model.phases[0].loss
        return jnp.sum(loss({**variables, 'params': params}, BATCH, KEY).values)

    gradient = jax.grad(total)(variables['params'], model)
    alone = dataclasses.replace(model, discriminator=None)
    assert [phase.name for phase in alone.phases] == ['autoencoder']
    want = jax.grad(total)(variables['params'], alone)
    jax.tree.map(np.testing.assert_array_equal, gradient['encoder'], want['encoder'])


def test_codes_have_the_moments_of_the_training():
    model, variables = of_pixels()
    variables = with_head(variables, [[0.5, 0.0]], [0.1, -0.5])
    old = variables['state']['encoder']['moments']
    new = loss_of(model, variables).state['encoder']['moments']
    codes, variance = 0.5 * X[[0, 1, 3]] + 0.1, np.exp(2 * 10 * np.tanh(-0.05))
    for name, now in (('mean', codes.mean()), ('square', (codes**2).mean() + variance)):
        want = MOMENTS_DECAY * old[name] + (1 - MOMENTS_DECAY) * now
        np.testing.assert_allclose(new[name], [want[0]], rtol=1e-5)

    # With the moments of the data themselves, codes are standardised, and decoding undoes it.
    moments = {
        'mean': jnp.array([0.5 * X.mean() + 0.1]),
        'square': jnp.array([((0.5 * X + 0.1) ** 2).mean() + variance]),
    }
    variables = {**variables, 'state': {'encoder': {'moments': moments}}}
    many = jnp.tile(jnp.asarray(X), (5000, 1, 1, 1))
    z = jax.jit(model.encode)(variables, many, KEY)
    assert float(jnp.mean(z)) == pytest.approx(0, abs=0.01)
    assert float(jnp.var(z)) == pytest.approx(1, abs=0.02)
    decoded = jax.jit(model.decode)(variables, z, KEY)
    assert float(jnp.mean(decoded)) == pytest.approx(0.5 * X.mean() + 0.1, abs=0.01)
    features = model.features(variables, BATCH['x'])
    np.testing.assert_allclose(features, z.reshape(5000, 4, -1).mean(0), atol=0.06)


def test_vq_decodes_its_own_tokens():
    quantiser = FiniteScalarQuantiser((3,))
    model, variables = of_pixels(VQAutoencoder, quantiser=quantiser)
    head = {'kernel': jnp.array([[4.0]]), 'bias': jnp.zeros(1)}
    params = {**variables['params']['encoder'], 'head': head}
    variables = {**variables, 'params': {**variables['params'], 'encoder': params}}
    index = model.encode(variables, BATCH['x'], KEY)
    bounded = np.tanh(4 * X) * 1.001
    want = np.round(bounded)
    np.testing.assert_array_equal(index, want.reshape(4, 4) + 1)
    np.testing.assert_allclose(model.decode(variables, index, KEY), want)
    np.testing.assert_allclose(model.features(variables, BATCH['x']), want.reshape(4, 4))
    out = loss_of(model, variables)
    np.testing.assert_allclose(out.metrics['reconstruction'], mean(np.abs(X - want)), rtol=1e-5)
    shares = np.bincount(np.asarray(index)[[0, 1, 3]].ravel(), minlength=3) / 12
    entropy = -np.sum(shares[shares > 0] * np.log(shares[shares > 0]))
    assert float(out.metrics['perplexity']) == pytest.approx(np.exp(entropy), rel=1e-5)


@pytest.mark.parametrize(('shape', 'levels', 'code'), [
    ((28, 28, 1), 3, (7, 7)), ((32, 24, 3), 4, (4, 3)), ((9, 8, 2), 2, (5, 4)),
])  # fmt: skip
def test_networks_from_pictures_to_maps_and_back(shape, levels, code):
    encoder = MapEncoder((4,) * levels, 1, attention=True)
    decoder = MapDecoder(shape, (4,) * levels, 1, attention=True)
    x = jax.ShapeDtypeStruct((3, *shape), jnp.float32)
    h, _ = jax.eval_shape(encoder.init_with_output, KEY, x)
    assert h.shape == (3, *code, 4)
    y, _ = jax.eval_shape(decoder.init_with_output, KEY, h)
    assert (y.shape, y.dtype) == (x.shape, jnp.float32)
    with pytest.raises(UserError, match='encoder and decoder need as many levels'):
        jax.eval_shape(decoder.init_with_output, KEY, x)


def test_networks_have_as_many_blocks_as_they_say():
    """Two a level and one more; those of a new network are their shortcuts."""
    encoder = MapEncoder((4, 8, 8), 2)
    params = jax.eval_shape(encoder.init, KEY, jnp.zeros((1, 16, 16, 3)))['params']
    assert sum(ResidualBlock.__name__ in name for name in params) == 7


def test_what_cannot_be_is_refused():
    fields = {'encoder': MapEncoder((4, 4), 1), 'decoder': MapDecoder((8, 8, 1), (4, 4), 1)}
    batch = {'x': jnp.zeros((2, 8, 8, 1))}
    with pytest.raises(UserError, match='reconstruction is one of'):
        KLAutoencoder(**fields, reconstruction='l3')
    with pytest.raises(UserError, match='loss is one of'):
        VQAutoencoder(**fields, loss='relativistic')
    with pytest.raises(UserError, match='not a map'):
        KLAutoencoder(**{**fields, 'encoder': MLP((4,))}).init(KEY, batch)
    with pytest.raises(UserError, match='no convolutions'):
        KLAutoencoder(**fields, discriminator=MLP((4,), shape=())).init(KEY, batch)
