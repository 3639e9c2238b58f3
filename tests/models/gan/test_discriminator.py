"""What the discriminator is shown and asked: packs, classes, and averages of its logits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from genjax.errors import UserError
from genjax.models import GAN, classes
from genjax.networks import MLP, DCGANDiscriminator, DCGANGenerator
from tests.models.zoo import BY_NAME

pytestmark = pytest.mark.slow

KEY = jax.random.key(5)


def _outputs(model, variables, x):
    """The discriminator's output for each row of x, by itself."""
    network = model.discriminator.clone(shape=(1 + model.num_classes,))
    return np.asarray(network.apply({'params': variables['params']['discriminator']}, x))


def _with_constant_samples(variables, point):
    """The generator emits `point`, whatever its code and label."""
    output = jax.tree.map(jnp.zeros_like, variables['params']['generator']['output'])
    generator = {**variables['params']['generator'], 'output': {**output, 'bias': point}}
    return {**variables, 'params': {**variables['params'], 'generator': generator}}


POINT = jnp.array([0.3, -0.8])


def _classifier(conditioning):
    entry = BY_NAME['gan-k-plus-1']
    model = dataclasses.replace(entry.model, conditioning=conditioning)
    batch = {**entry.batch(), 'label': jnp.array([0, 1, 2, -1, 2, 1, -1, 0])}
    return model, _with_constant_samples(model.init(KEY, batch), POINT), batch


def test_k_plus_1_is_the_cross_entropy_of_a_softmax_over_classes_and_fake():
    model, variables, batch = _classifier('k_plus_1')
    label = np.asarray(batch['label'])
    log_p = log_softmax(_outputs(model, variables, batch['x']), axis=1)
    real = np.where(label >= 0, log_p[np.arange(8), label + 1], logsumexp(log_p[:, 1:], axis=1))
    fake_log_p = log_softmax(_outputs(model, variables, POINT[None])[0])
    d_out = model.phases[0].loss(variables, batch, KEY)
    np.testing.assert_allclose(d_out.values, -real - fake_log_p[0], rtol=1e-4)
    labelled = label >= 0
    found = log_p[:, 1:].argmax(axis=1) == label
    np.testing.assert_allclose(d_out.metrics['accuracy'], found[labelled].mean(), rtol=1e-6)

    values = model.phases[1].loss(variables, batch, KEY).values
    np.testing.assert_allclose(values[labelled], -fake_log_p[1:][label[labelled]], rtol=1e-4)
    for value in values[~labelled]:  # of a label that was drawn
        assert np.min(np.abs(value + fake_log_p[1:])) < 1e-4


def test_feature_matching_is_the_distance_of_the_mean_features():
    model, variables, batch = _classifier('k_plus_1')
    label, mask = jnp.arange(8) % 3, jnp.arange(8) != 5
    batch = {**batch, 'label': label, 'mask': mask}
    matching = dataclasses.replace(model, generator_loss='feature_matching')
    real = np.asarray(model.features(variables, batch['x']), np.float64)[np.asarray(mask)]
    fake = np.asarray(model.features(variables, POINT[None]), np.float64)[0]
    distance = np.sum((real.mean(axis=0) - fake) ** 2)
    fake_classes = -log_softmax(_outputs(model, variables, POINT[None])[0, 1:])[label]
    values = matching.phases[1].loss(variables, batch, KEY).values
    np.testing.assert_allclose(values, distance + fake_classes, rtol=1e-4)
    # The discriminator's loss is that of `loss`.
    a, b = (each.phases[0].loss(variables, batch, KEY).values for each in (model, matching))
    np.testing.assert_array_equal(a, b)
    # The generator's gradient is that of the distance: it moves the mean feature of its samples.
    alone = dataclasses.replace(matching, num_classes=None, conditioning='input')
    start = alone.init(KEY, batch)

    def total(bias):
        moved = _with_constant_samples(start, bias)
        return jnp.mean(alone.phases[1].loss(moved, batch, KEY).values)

    def of(point):
        mean = jnp.mean(alone.features(start, batch['x'])[mask], axis=0)
        return jnp.sum((mean - alone.features(start, point[None])[0]) ** 2)

    np.testing.assert_allclose(jax.grad(total)(POINT), jax.grad(of)(POINT), rtol=1e-4)


def test_auxiliary_classifier_adds_the_class_losses_of_both_sides():
    model, variables, batch = _classifier('auxiliary')
    label = jnp.array([0, 1, 2, 0, 2, 1, 1, 0])
    out = _outputs(model, variables, batch['x'])
    fake = _outputs(model, variables, POINT[None])[0]
    classes = -log_softmax(out[:, 1:], axis=1)[np.arange(8), label]
    fake_classes = -log_softmax(fake[1:])[label]
    want = np.log1p(np.exp(-out[:, 0])) + np.log1p(np.exp(fake[0])) + classes + fake_classes
    batch = {**batch, 'label': label}
    np.testing.assert_allclose(model.phases[0].loss(variables, batch, KEY).values, want, rtol=1e-4)
    np.testing.assert_allclose(
        model.phases[1].loss(variables, batch, KEY).values,
        np.log1p(np.exp(-fake[0])) + fake_classes,
        rtol=1e-4,
    )


@pytest.mark.parametrize('conditioning', ['auxiliary', 'k_plus_1'])
def test_classify_gives_the_class_logits(conditioning):
    model, variables, batch = _classifier(conditioning)
    want = _outputs(model, variables, batch['x'])[:, 1:]
    np.testing.assert_allclose(model.classify(variables, batch['x']), want, rtol=1e-6)


def test_accuracy_counts_labelled_examples_only():
    logits = jnp.eye(3)[jnp.array([0, 1, 2, 0])]
    label, mask = jnp.array([0, 2, -1, 0]), jnp.array([True, True, True, False])
    assert classes.accuracy(logits, label, mask) == 0.5
    assert classes.accuracy(logits, label, jnp.zeros(4, bool)) == 0.0


def test_the_unlabelled_are_given_every_class():
    label = jnp.where(jnp.arange(4000) % 2, -1, 2)
    got = np.asarray(classes.complete(KEY, label, 4))
    assert np.all(got[::2] == 2)
    np.testing.assert_allclose(np.bincount(got[1::2]) / 2000, 0.25, atol=0.04)


def test_packs_join_neighbours_along_the_last_axis():
    x = np.random.default_rng(0).normal(size=(6, 4, 5, 2)).astype(np.float32)
    model = dataclasses.replace(BY_NAME['gan-packed'].model, pack=3)
    got = model._judge.packed(jnp.asarray(x))
    want = np.stack([np.concatenate(x[i : i + 3], axis=-1) for i in (0, 3)])
    np.testing.assert_array_equal(got, want)
    got = model._judge.packed(jnp.asarray(x[:, 0, 0]))
    np.testing.assert_array_equal(got, x[:, 0, 0].reshape(2, 6))


def test_packed_losses_against_a_loop_over_packs():
    model = GAN(MLP((4,), shape=(2,)), MLP((4,), shape=(), activation='tanh'), 2, r1=2.0, pack=2)
    batch = {'x': jax.random.normal(KEY, (6, 2))}
    variables = _with_constant_samples(model.init(KEY, batch), POINT)

    def logit(pack):
        params = {'params': variables['params']['discriminator']}
        return model.discriminator.apply(params, pack.reshape(1, 4))[0]

    fake = logit(jnp.concatenate([POINT, POINT]))
    packs = [batch['x'][i : i + 2].ravel() for i in (0, 2, 4)]
    penalties = [np.sum(jax.grad(logit)(pack) ** 2) for pack in packs]
    want = [
        np.log1p(np.exp(-logit(pack))) + np.log1p(np.exp(fake)) + penalty
        for pack, penalty in zip(packs, penalties, strict=True)
    ]
    d_out = model.phases[0].loss(variables, batch, KEY)
    np.testing.assert_allclose(d_out.values, np.repeat(want, 2), rtol=1e-5)
    np.testing.assert_allclose(d_out.metrics['r1'], np.repeat(penalties, 2), rtol=1e-5)
    g_out = model.phases[1].loss(variables, batch, KEY)
    np.testing.assert_allclose(g_out.values, np.full(6, np.log1p(np.exp(-fake))), rtol=1e-5)


def test_a_batch_that_does_not_divide_into_packs_is_named():
    model = GAN(MLP((4,), shape=(2,)), MLP((4,), shape=()), 2, pack=4)
    with pytest.raises(UserError, match='pack=4 does not divide a batch of 6'):
        model.init(KEY, {'x': jnp.zeros((6, 2))})


def test_lecam_draws_logits_towards_the_other_sides_average():
    entry = BY_NAME['gan-lecam']
    model, batch = entry.model, {**entry.batch(), 'mask': jnp.arange(8) < 6}
    variables = model.init(KEY, batch)
    state = {'discriminator': {'lecam': {'real': jnp.float32(0.7), 'fake': jnp.float32(-0.4)}}}
    out = model.phases[0].loss({**variables, 'state': state}, batch, KEY)
    without = dataclasses.replace(model, lecam=0.0).phases[0].loss(variables, batch, KEY)
    real, fake = (np.asarray(out.metrics[f'{side}_logit']) for side in ('real', 'fake'))
    want = 0.3 * ((real + 0.4) ** 2 + (fake - 0.7) ** 2)
    np.testing.assert_allclose(out.values - without.values, want, rtol=1e-4)
    anchors = out.state['discriminator']['lecam']
    np.testing.assert_allclose(anchors['real'], 0.99 * 0.7 + 0.01 * real[:6].mean(), rtol=1e-5)
    np.testing.assert_allclose(anchors['fake'], 0.99 * -0.4 + 0.01 * fake[:6].mean(), rtol=1e-5)


@pytest.mark.parametrize('name', ['r1', 'r2', 'gradient_penalty'])
def test_a_penalty_on_a_discriminator_with_batch_normalisation_is_refused(name):
    networks = MLP((4,), shape=(2,)), MLP((4,), shape=(), norm='batch')
    with pytest.raises(UserError, match=rf'GAN.{name} .*normalises over the batch \(MLP\)'):
        GAN(*networks, 2, **{name: 1.0})
    GAN(*networks, 2)
    with pytest.raises(UserError, match='normalises over the batch'):
        GAN(*networks, 2, num_classes=3, **{name: 1.0})
    spectral = DCGANDiscriminator(4, spectral_norm=True)
    GAN(DCGANGenerator((8, 8, 1), 4, norm='batch'), spectral, 2, **{name: 1.0})
