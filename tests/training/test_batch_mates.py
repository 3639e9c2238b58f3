"""What becomes of an example does not depend on its batch-mates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.config import spec
from genjax.models import GAN
from genjax.networks import MLP
from genjax.training import Experiment
from genjax.training.experiment import experiment_of
from genjax.training.sampling import draw
from genjax.training.state import init_state
from genjax.training.step import train_step
from tests.models.zoo import BY_NAME
from tests.training import tiny


@pytest.mark.parametrize('name', ['vae-dropout-iwae', 'gan'])
def test_batch_mates_leave_the_loss_of_an_example_alone(name):
    """All rows but one are masked: then the loss and the update are that one's."""
    entry = BY_NAME[name]
    one = entry.batch()
    one['mask'] = jnp.arange(8) == 2
    other = {
        **one,
        'x': jnp.where(one['mask'].reshape(8, *[1] * (one['x'].ndim - 1)), one['x'], 1 - one['x']),
    }
    settings = Experiment(tiny.Blots(), entry.model, optax.adam(0.1), 1, 8)
    state = jax.jit(functools.partial(init_state, settings))(one)
    step = jax.jit(functools.partial(train_step, settings))
    (after, metrics), (changed, others) = step(state, one), step(state, other)
    assert jnp.any(one['x'] != other['x'])
    same = (metrics, after.variables), (others, changed.variables)
    jax.tree.map(np.testing.assert_array_equal, *same)


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    settings = experiment_of(tiny.gan())
    example = jnp.asarray(settings.dataset.source('train')[np.arange(4)]['x'])
    key = jax.random.key(0)
    variables = jax.jit(settings.model.init)(key, {'x': settings.preprocess(example, key)[0]})
    few, many = (draw(settings, variables, num, seed=3)['x'] for num in (5, 300))
    assert (few.shape, many.shape) == ((5, *tiny.SHAPE), (300, *tiny.SHAPE))
    np.testing.assert_array_equal(few, many[:5])
    assert not np.array_equal(many[:44], many[256:])
    other = draw(settings, variables, 5, seed=4)['x']
    assert not np.array_equal(few, other)


def test_a_sample_does_not_depend_on_the_classes_of_the_others():
    network = functools.partial(spec, MLP, features=(4,))
    model = spec(
        GAN,
        generator=network(shape=tiny.SHAPE),
        discriminator=network(shape=()),
        latent_dim=3,
        num_classes=4,
    )
    settings = experiment_of(tiny.gan(model=model))
    x, label = jnp.zeros((4, *tiny.SHAPE)), jnp.arange(4)
    variables = jax.jit(settings.model.init)(jax.random.key(0), {'x': x, 'label': label})
    mixed, twos = (draw(settings, variables, 12, 3, label) for label in (None, 2))
    assert list(mixed['label']) == [0, 1, 2, 3] * 3 and set(twos['label']) == {2}
    np.testing.assert_array_equal(mixed['x'][2::4], twos['x'][2::4])
    assert not np.array_equal(mixed['x'][1], twos['x'][1])
