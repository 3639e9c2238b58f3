"""The GAN's losses and penalties against loops and numpy."""

import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.errors import UserError
from genjax.models import GAN
from genjax.models.gan import Augment
from genjax.models.gan.objectives import (
    OBJECTIVES,
    gradient_norm_penalty,
    interpolate,
    r1_penalty,
)
from genjax.networks import MLP, DCGANDiscriminator, DCGANGenerator
from tests.models.zoo import BY_NAME
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(5)
LOGITS = np.array([-50.0, -1.5, 0.0, 0.3, 2.0, 50.0])


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.mark.parametrize(
    ('name', 'discriminator', 'generator'),
    [
        (
            'non_saturating',
            lambda r, f: -np.log(_sigmoid(r)) - np.log(_sigmoid(-f)),
            lambda r, f: -np.log(_sigmoid(f)),
        ),
        (
            'least_squares',
            lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2,
            lambda r, f: (f - 1) ** 2 / 2,
        ),
        (
            'hinge',
            lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f),
            lambda r, f: -f,
        ),
        ('wasserstein', lambda r, f: f - r, lambda r, f: -f),
        (
            'relativistic',
            lambda r, f: -np.log(_sigmoid(r - f)),
            lambda r, f: -np.log(_sigmoid(f - r)),
        ),
    ],
)
def test_losses_against_numpy(name, discriminator, generator):
    objective = OBJECTIVES[name]
    real, fake = LOGITS[:, None], LOGITS[None]
    for got, want in (
        (objective.discriminator, discriminator),
        (objective.generator, generator),
    ):
        got = got(jnp.asarray(real), jnp.asarray(fake))
        np.testing.assert_allclose(got, want(real, fake), rtol=1e-5, atol=1e-12)


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


def test_r2_is_the_same_penalty_at_samples():
    model, variables, batch = _setup(r2=3.0)
    point = jnp.array([0.3, -0.8])
    output = jax.tree.map(jnp.zeros_like, variables['params']['generator']['output'])
    generator = {**variables['params']['generator'], 'output': {**output, 'bias': point}}
    variables = {**variables, 'params': {**variables['params'], 'generator': generator}}
    out = model.phases[0].loss(variables, batch, KEY)
    without = dataclasses.replace(model, r2=0.0).phases[0].loss(variables, batch, KEY)
    want = 1.5 * _gradient_norms(model, variables, point[None]) ** 2
    np.testing.assert_allclose(out.metrics['r2'], np.repeat(want, 8), rtol=1e-5)
    np.testing.assert_allclose(out.values - without.values, np.repeat(want, 8), rtol=1e-4)


@jax.custom_vjp
def _bend(x):
    """softplus, with a derivative of its own."""
    return jax.nn.softplus(x)


_bend.defvjp(lambda x: (_bend(x), x), lambda x, g: (g * jax.nn.sigmoid(x),))


class _Smooth(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = _bend(nn.Dense(8)(x))
        return nn.Dense(1)(x)


@pytest.mark.parametrize('penalty', ['r1', full('r2'), 'gradient_penalty'])
def test_second_derivatives_against_finite_differences(penalty):
    """Through an operation with a derivative of its own: a penalty's slope along the parameters."""
    model = GAN(MLP((16,), shape=(2,)), _Smooth(), 3, **{penalty: 10.0})
    batch = BY_NAME['gan'].batch()
    variables = model.init(KEY, batch)
    params = variables['params']['discriminator']
    direction = optax.tree.random_like(jax.random.key(1), params)

    @jax.jit
    def total(size):
        moved = jax.tree.map(lambda a, d: a + size * d, params, direction)
        moved = {**variables, 'params': {**variables['params'], 'discriminator': moved}}
        return jnp.mean(model.phases[0].loss(moved, batch, KEY).metrics[penalty])

    step = 1e-2
    want = (total(step) - total(-step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(total)(0.0), want, rtol=0.01)


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


@pytest.mark.parametrize('name', ['r1', full('r2'), full('gradient_penalty'), 'lecam'])
def test_weights_of_penalties_may_be_traced(name):
    model, variables, batch = _setup()

    @jax.jit
    def loss(weight):
        weighted = dataclasses.replace(model, **{name: weight})
        variables = weighted.init(KEY, batch)
        return weighted.phases[0].loss(variables, batch, KEY).values

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


def test_reused_samples_are_those_of_the_discriminator_and_have_the_generators_gradient():
    """Against the game written out: the same codes, the networks and the losses by hand."""
    model, variables, batch = _setup(reuse=True)
    discriminator, generator = model.phases
    out = discriminator.loss(variables, batch, KEY)
    z = jax.random.normal(out.handed[0][0], (len(batch['x']), model.latent_dim))

    def fakes(params):
        return model.generator.apply({'params': params}, z)

    def logits(params, x):
        return model.discriminator.apply({'params': params}, x)

    params = variables['params']
    fake = logits(params['discriminator'], fakes(params['generator']))
    np.testing.assert_allclose(out.metrics['fake_logit'], fake, rtol=1e-5)

    # The discriminator has moved since, and the generator's turn has another key.
    moved = jax.tree.map(lambda a: a + 0.1, params['discriminator'])

    def by_hand(params):
        return jnp.mean(jax.nn.softplus(-logits(moved, fakes(params))))

    def loss(params):
        now = {**variables, 'params': {'generator': params, 'discriminator': moved}}
        return jnp.mean(generator.loss(now, batch, jax.random.key(9), out.handed).values)

    got, want = (jax.value_and_grad(f)(params['generator']) for f in (loss, by_hand))
    chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-7)


@pytest.mark.full
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
    with pytest.raises(UserError, match='reuse with num_critic=2'):
        GAN(generator, discriminator, 2, num_critic=2, reuse=True)
    with pytest.raises(UserError, match='shape'):
        GAN(MLP((4,)), discriminator, 2)
    with pytest.raises(UserError, match='auxiliary'):
        GAN(generator, discriminator, 2, num_classes=3, conditioning='auxilary')
    with pytest.raises(UserError, match='needs num_classes'):
        GAN(generator, discriminator, 2, conditioning='k_plus_1')
    with pytest.raises(UserError, match='cannot be packed'):
        GAN(generator, discriminator, 2, num_classes=3, pack=2)
    with pytest.raises(UserError, match='pictures'):
        GAN(MLP((4,), shape=(2,)), MLP((4,), shape=()), 2, augment=Augment())
    with pytest.raises(UserError, match='no field shape'):
        GAN(generator, nn.Dense(1), 2, num_classes=3, conditioning='auxiliary')
    with pytest.raises(UserError, match='classify'):
        GAN(generator, discriminator, 2).classify({}, jnp.zeros((1, 8, 8, 1)))
