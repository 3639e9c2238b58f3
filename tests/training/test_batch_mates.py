"""What becomes of an example does not depend on its batch-mates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax.config import spec
from genjax.models import GAN
from genjax.networks import MLP
from genjax.training.experiment import experiment_of
from genjax.training.sampling import draw, draws
from tests.training import tiny


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    settings = experiment_of(tiny.gan())
    example = jnp.asarray(settings.dataset.source('train')[np.arange(4)]['x'])
    key = jax.random.key(0)
    variables = jax.jit(settings.model.init)(key, {'x': settings.preprocess(example, key)[0]})
    few, many = (draw(settings, variables, num, seed=3)['x'] for num in (5, 300))
    assert (few.shape, many.shape) == ((5, *tiny.SHAPE), (300, *tiny.SHAPE))
    np.testing.assert_allclose(few, many[:5], rtol=1e-5)
    assert not np.array_equal(many[:44], many[256:])
    parts = [part['x'] for part in draws(settings, variables, 21, seed=3, batch_size=8)]
    assert [len(part) for part in parts] == [8, 8, 5]  # time and memory follow these numbers
    np.testing.assert_array_equal(few, parts[0][:5])  # as many at a time: bit for bit
    np.testing.assert_allclose(np.concatenate(parts), many[:21], rtol=1e-5)
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
