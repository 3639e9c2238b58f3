"""The GAN's losses and penalties against loops and numpy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GAN
from genjax.models.gan.objectives import (
    OBJECTIVES,
    gradient_norm_penalty,
    interpolate,
    r1_penalty,
)
from genjax.networks import MLP, DCGANDiscriminator, DCGANGenerator
from tests.models.zoo import BY_NAME

KEY = jax.random.key(5)
LOGITS = np.array([-50.0, -1.5, 0.0, 0.3, 2.0, 50.0])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ('name', 'real', 'fake', 'generator'),
    [
        (
            'non_saturating',
            lambda d: -np.log(_sigmoid(d)),
            lambda d: -np.log(_sigmoid(-d)),
            lambda d: -np.log(_sigmoid(d)),
        ),
        ('hinge', lambda d: np.maximum(0, 1 - d), lambda d: np.maximum(0, 1 + d), lambda d: -d),
        ('wasserstein', lambda d: -d, lambda d: d, lambda d: -d),
    ],
)
def test_losses_against_numpy(name, real, fake, generator):
    objective = OBJECTIVES[name]
    for got, want in (
        (objective.real, real),
        (objective.fake, fake),
        (objective.generator, generator),
    ):
        np.testing.assert_allclose(got(jnp.asarray(LOGITS)), want(LOGITS), rtol=1e-5, atol=1e-12)


def _setup(**options):
    entry = BY_NAME['gan']
    model = dataclasses.replace(entry.model, **{'r1': 0.0, **options})
    batch = entry.batch()
    return model, model.init(KEY, batch), batch


def _gradient_norms(model, variables, points):
    """The norm of the discriminator's gradient at each point, one at a time."""

    def logit(point):
        return model.discriminator.apply(
            {'params': variables['params']['discriminator']}, point[None]
        )[0]

    return np.array([np.linalg.norm(jax.grad(logit)(point)) for point in points])


def test_r1_against_a_loop_over_examples():
    model, variables, batch = _setup(r1=3.0)
    out = model.phases[0].loss(variables, batch, KEY)
    without = dataclasses.replace(model, r1=0.0).phases[0].loss(variables, batch, KEY)
    want = 1.5 * _gradient_norms(model, variables, batch['x']) ** 2
    np.testing.assert_allclose(out.metrics['r1'], want, rtol=1e-5)
    np.testing.assert_allclose(out.values - without.values, want, rtol=1e-4, atol=1e-6)
    assert 'r1' not in without.metrics


def test_gradient_penalty_against_a_loop_over_examples():
    model, variables, batch = _setup(gradient_penalty=10.0)
    fake = np.asarray(jax.random.normal(KEY, batch['x'].shape))
    between = interpolate(KEY, batch['x'], fake)
    weight = (between - batch['x']) / (fake - batch['x'])
    np.testing.assert_allclose(weight[:, 0], weight[:, 1], rtol=1e-3)
    assert jnp.all((weight >= 0) & (weight <= 1))
    gradients = jax.grad(
        lambda x: jnp.sum(
            model.discriminator.apply({'params': variables['params']['discriminator']}, x)
        )
    )(between)
    want = (_gradient_norms(model, variables, between) - 1) ** 2
    np.testing.assert_allclose(gradient_norm_penalty(gradients), want, rtol=1e-4)
    np.testing.assert_allclose(
        r1_penalty(gradients), 0.5 * _gradient_norms(model, variables, between) ** 2, rtol=1e-5
    )
    out = model.phases[0].loss(variables, batch, KEY)
    without = dataclasses.replace(model, gradient_penalty=0.0).phases[0].loss(variables, batch, KEY)
    np.testing.assert_allclose(
        out.values - without.values, out.metrics['gradient_penalty'], rtol=1e-4, atol=1e-5
    )


def test_gradient_penalty_is_smooth_where_the_gradient_vanishes():
    slope = jax.grad(lambda g: jnp.sum(gradient_norm_penalty(g)))(jnp.zeros((2, 3)))
    assert jnp.all(jnp.isfinite(slope))


@pytest.mark.parametrize('name', ['r1', 'gradient_penalty'])
def test_weights_of_penalties_may_be_traced(name):
    model, variables, batch = _setup()

    @jax.jit
    def loss(weight):
        return (
            dataclasses.replace(model, **{name: weight})
            .phases[0]
            .loss(variables, batch, KEY)
            .values
        )

    plain = model.phases[0].loss(variables, batch, KEY).values
    np.testing.assert_allclose(loss(0.0), plain, rtol=1e-5)
    assert jnp.any(loss(1.0) != plain)


def test_discriminator_and_generator_play_against_each_other():
    model, variables, batch = _setup()
    d_out = model.phases[0].loss(variables, batch, KEY)
    want = np.log1p(np.exp(-d_out.metrics['real_logit'])) + np.log1p(
        np.exp(d_out.metrics['fake_logit'])
    )
    np.testing.assert_allclose(d_out.values, want, rtol=1e-5)
    difference = np.asarray(d_out.metrics['real_logit'] - d_out.metrics['fake_logit'])
    np.testing.assert_allclose(d_out.metrics['wasserstein'], difference, rtol=1e-5)


def test_num_critic_repeats_the_discriminators_turn():
    model, _, _ = _setup(num_critic=5)
    assert [(phase.name, phase.repeats) for phase in model.phases] == [
        ('discriminator', 5),
        ('generator', 1),
    ]


def test_labels_reach_both_networks():
    entry = BY_NAME['gan-dcgan-labels']
    batch = entry.batch()
    variables = jax.jit(entry.model.init)(KEY, batch)
    other = {**batch, 'label': (batch['label'] + 1) % 3}
    for phase in entry.model.phases:
        loss = jax.jit(phase.loss)
        a, b = (loss(variables, data, KEY).values for data in (batch, other))
        assert jnp.all(a != b)
    unlabelled = {'x': batch['x']}
    with pytest.raises(UserError, match='no labels'):
        entry.model.init(KEY, unlabelled)


def test_classes_are_drawn_evenly_without_a_label():
    class_of = MLP((), shape=(1,), num_classes=4)
    model = GAN(class_of, MLP((), shape=()), 1, num_classes=4)
    kernel = jnp.array([[0.0], [0.0], [1.0], [2.0], [3.0]])  # ignores the code, emits the class
    params = {'generator': {'output': {'kernel': kernel, 'bias': jnp.zeros(1)}}}
    x = model.sample({'params': params, 'state': {}}, KEY, 4000)
    shares = np.bincount(np.asarray(x[:, 0], int), minlength=4) / 4000
    np.testing.assert_allclose(shares, 0.25, atol=0.03)


def test_mistakes_are_named():
    generator, discriminator = DCGANGenerator((8, 8, 1), 4), DCGANDiscriminator(4)
    with pytest.raises(UserError, match='non_saturating'):
        GAN(generator, discriminator, 2, loss='hingee')
    with pytest.raises(UserError, match='num_critic'):
        GAN(generator, discriminator, 2, num_critic=0)
    with pytest.raises(UserError, match='shape'):
        GAN(MLP((4,)), discriminator, 2)
