"""CycleGAN's losses against its equations, and a translation that is learned."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.errors import UserError
from genjax.models import CycleGAN
from genjax.networks import MLP, PatchDiscriminator, Translator
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)


def _model(**fields):
    return CycleGAN(
        MLP((), shape=SHAPE),
        MLP((5,), shape=SHAPE),
        PatchDiscriminator((3, 4)),
        MLP((6,), shape=()),
        **fields,
    )


def _batch(size=4):
    return {'x': jax.random.uniform(KEY, (size, 2, *SHAPE), minval=-1.0)}


def test_the_losses_are_those_of_the_paper():
    """Zhu et al., 2017, eqs. 1 to 3 with the squares of its section 4, per example."""
    model, batch = _model(cycle=3.0, identity=2.0), _batch()
    variables = jax.jit(model.init)(KEY, batch)
    a, b = batch['x'][:, 0], batch['x'][:, 1]

    def net(group, x):
        apply = jax.jit(getattr(model, group).apply)
        return apply({'params': variables['params'][group]}, x)

    def mean(x):
        return np.asarray(x, np.float64).reshape(len(x), -1).mean(axis=1)

    fake_a, fake_b = net('generator_ba', b), net('generator_ab', a)
    patches = net('discriminator_a', a)
    assert patches.ndim == 2 and patches.shape[1] > 1  # a loss for each patch, then their mean
    judged = {
        'discriminators': sum(
            0.5 * (mean((net(judge, real) - 1) ** 2) + mean(net(judge, fake) ** 2))
            for judge, real, fake in (
                ('discriminator_a', a, fake_a),
                ('discriminator_b', b, fake_b),
            )
        ),
        'generators': 0.5 * mean((net('discriminator_a', fake_a) - 1) ** 2)
        + 0.5 * mean((net('discriminator_b', fake_b) - 1) ** 2)
        + 3.0 * mean(abs(net('generator_ba', fake_b) - a))
        + 3.0 * mean(abs(net('generator_ab', fake_a) - b))
        + 2.0 * mean(abs(net('generator_ab', b) - b))
        + 2.0 * mean(abs(net('generator_ba', a) - a)),
    }
    for phase in model.phases:
        np.testing.assert_allclose(
            jax.jit(phase.loss)(variables, batch, KEY).values, judged[phase.name], rtol=2e-5
        )
    np.testing.assert_allclose(model.translate(variables, a), fake_b, rtol=1e-6)
    np.testing.assert_allclose(model.translate(variables, b, 'ba'), fake_a, rtol=1e-6)


def test_without_a_weight_there_is_no_identity_loss():
    batch = _batch()
    variables = jax.eval_shape(_model().init, KEY, batch)
    metrics = jax.eval_shape(_model().phases[1].loss, variables, batch, KEY).metrics
    assert not [name for name in metrics if name.startswith('identity')]


@pytest.mark.full
def test_a_shift_between_domains_is_found():
    """Means of two domains of points differ; each point moves by their difference."""
    generator = MLP((), shape=(2,))
    model = CycleGAN(generator, generator, *[MLP((32,), shape=())] * 2, cycle=1.0)
    key, a_key, b_key = jax.random.split(KEY, 3)
    shift = jnp.array([1.0, -0.5])
    a = jax.random.normal(a_key, (256, 2))
    b = jax.random.normal(b_key, (256, 2)) + shift
    batch = {'x': jnp.stack([a, b], axis=1)}
    variables = model.init(key, batch)
    for group in ('generator_ab', 'generator_ba'):
        variables['params'][group] = {'output': {'kernel': jnp.eye(2), 'bias': jnp.zeros(2)}}
    optimizer = optax.adam(5e-3, b1=0.5)
    opt_state = {p.name: optimizer.init(_of(variables, p.trains)) for p in model.phases}

    def step(carry, _):
        params, opt_state = carry
        for phase in model.phases:

            def loss(trained, params=params, phase=phase):
                variables = {'params': {**params, **trained}, 'state': {}}
                return jnp.mean(phase.loss(variables, batch, key).values)

            trained = {group: params[group] for group in phase.trains}
            changes, new = optimizer.update(jax.grad(loss)(trained), opt_state[phase.name], trained)
            opt_state = {**opt_state, phase.name: new}
            params = {**params, **optax.apply_updates(trained, changes)}
        return (params, opt_state), None

    start = variables['params'], opt_state
    (params, _), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, length=2000))(start)
    moved = model.translate({'params': params, 'state': {}}, a) - a
    np.testing.assert_allclose(np.mean(moved, axis=0), shift, atol=0.15)


def _of(variables, groups):
    return {group: variables['params'][group] for group in groups}


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match='not alike'):
        CycleGAN(MLP((), shape=(2,)), MLP((), shape=(3,)), nn.Dense(1), nn.Dense(1))
    with pytest.raises(UserError, match="'ab' or 'ba'"):
        _model().translate({}, jnp.zeros((1, *SHAPE)), 'a')


@pytest.mark.parametrize(
    ('shape', 'halvings'), [full((8, 8, 1), 1), ((9, 6, 3), 2), full((5, 5, 2), 0)]
)
def test_a_translator_keeps_the_shape_and_does_not_see_contrast(shape, halvings):
    """Instance normalisation after a linear layer: a picture times two is the same picture."""
    network = Translator(shape, 4, num_halvings=halvings, num_blocks=1, kernel=3)
    x = jax.random.normal(KEY, (3, *shape))
    params, apply = jax.jit(network.init)(KEY, x), jax.jit(network.apply)
    y = apply(params, x)
    assert y.shape == x.shape and y.dtype == jnp.float32
    np.testing.assert_allclose(apply(params, 2 * x), y, atol=1e-3)
    np.testing.assert_allclose(apply(params, x.at[1:].set(1))[0], y[0], atol=1e-5)
    low = jax.jit(network.clone(dtype='bfloat16').apply)(params, x)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, y, atol=0.1)
    with pytest.raises(UserError, match='shape'):
        network.init(KEY, x[:, :-1])


def test_a_patch_logit_sees_its_patch_alone():
    """Without norms in between, with one strided layer: patches of 4 + 2 · 3 = 10 pixels."""
    network = PatchDiscriminator((3,))
    x = jax.random.normal(KEY, (1, 16, 16, 1))
    params = jax.jit(network.init)(KEY, x)
    gradient = jax.jit(jax.grad(lambda x: network.apply(params, x)[0, 0]))(x)
    rows = np.flatnonzero(np.any(np.asarray(gradient[0, ..., 0]) != 0, axis=1))
    assert network.apply(params, x).shape == (1, 256)
    assert rows.max() < 7
