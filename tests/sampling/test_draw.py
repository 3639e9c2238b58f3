"""Sample `i` is a function of (seed, i), whatever draws it."""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.config import spec
from genjax.data import Gaussians
from genjax.errors import UserError
from genjax.evaluation import EvaluationData
from genjax.evaluation.draws import draw_like, sampled_labels
from genjax.models import GAN, VAE
from genjax.networks import MLP
from genjax.parallel.sharding import MeshShape, replicated
from genjax.sampling import draw, draws
from genjax.sampling.draw import chunk_size
from genjax.training.experiment import experiment_of
from tests.training import tiny

KEY = jax.random.key(0)


@functools.cache
def trained(num_classes=None):
    """A model with variables and preprocessing."""
    network = functools.partial(spec, MLP, features=(4,))
    model = spec(
        GAN,
        generator=network(shape=tiny.SHAPE),
        discriminator=network(shape=()),
        latent_dim=3,
        num_classes=num_classes,
    )
    settings = experiment_of(tiny.gan(model=model))
    batch = {'x': jnp.zeros((4, *tiny.SHAPE)), 'label': jnp.arange(4)}
    return settings.model, jax.jit(settings.model.init)(KEY, batch), settings.preprocess


def digest(x):
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()


def test_the_bits_of_a_sample_do_not_depend_on_how_many_are_drawn_or_at_a_time():
    model, variables, preprocess = trained()
    many = draw(model, variables, 300, 3, preprocess=preprocess)
    assert many.shape == (300, *tiny.SHAPE) and len(np.unique(many, axis=0)) == 300
    for num, size in ((1, 256), (5, 1), (70, 1), (70, 7), (70, 64), (300, 64)):
        x = draw(model, variables, num, 3, preprocess=preprocess, batch_size=size)
        assert digest(x) == digest(many[:num])
    assert not np.array_equal(many[:5], draw(model, variables, 5, 4, preprocess=preprocess))


def test_samples_come_in_parts_of_whole_chunks():
    model, variables, _ = trained()
    mesh = MeshShape(data=2).make(jax.devices()[:2])
    two = jax.device_put(variables, replicated(mesh))
    rows = chunk_size(None)
    assert rows == chunk_size(mesh)
    for given, size, want in (
        (variables, 1, rows), (variables, rows + 1, rows), (variables, 3 * rows, 3 * rows),
        (two, rows, 2 * rows),
    ):  # fmt: skip
        parts = draws(model, given, 4 * rows + 1, batch_size=size)
        assert max(len(part['x']) for part in parts) == want


@pytest.mark.parametrize('num', [2, 8])
def test_samples_over_more_devices_differ_by_rounding(num):
    model, variables, preprocess = trained()
    mesh = MeshShape(data=1, fsdp=num).make(jax.devices()[:num])
    spread = jax.device_put(variables, replicated(mesh))
    one, more = (draw(model, v, 40, 3, preprocess=preprocess) for v in (variables, spread))
    np.testing.assert_allclose(more / 255, one / 255, rtol=0, atol=1e-6)


def test_a_sample_does_not_depend_on_the_classes_of_the_others():
    model, variables, _ = trained(num_classes=4)
    (mixed,), (twos,) = (list(draws(model, variables, 12, 3, label)) for label in (None, 2))
    assert list(mixed['label']) == [0, 1, 2, 3] * 3 and set(twos['label']) == {2}
    np.testing.assert_array_equal(mixed['x'][2::4], twos['x'][2::4])
    assert not np.array_equal(mixed['x'][1], twos['x'][1])
    own = np.array([2, 0, 3])
    (part,) = draws(model, variables, 3, 3, own)
    np.testing.assert_array_equal(part['label'], own)
    np.testing.assert_array_equal(part['x'][0], draw(model, variables, 1, 3, 2)[0])


@pytest.mark.parametrize(
    'label, line',
    [
        (4, r'label=4 is not one of the 4 classes 0\.\.3'),
        ([0, -1, 9], 'label=-1 is not one of'),
        ([0, 1], '3 of them for 3 samples; not'),
        (0.5, 'a label is a whole number'),
    ],
)
def test_labels_that_no_sample_can_have(label, line):
    model, variables, _ = trained(num_classes=4)
    with pytest.raises(UserError, match=line):
        draw(model, variables, 3, label=label)
    with pytest.raises(UserError, match='this GAN has no classes'):
        draw(trained()[0], variables, 3, label=0)


@pytest.mark.parametrize('num_classes', [None, 4])
def test_evaluators_see_the_samples_that_a_user_draws(num_classes):
    model, variables, preprocess = trained(num_classes)
    x, label = jnp.zeros((40, *tiny.SHAPE)), jnp.arange(40) % 4
    batch = {'x': x, 'label': label, 'mask': jnp.ones(40, bool)}
    data = EvaluationData(Gaussians(), 'test', lambda size: iter([batch]), preprocess, seed=7)
    seen = draw_like(data, model, variables, 50, KEY, batch_size=20)
    label = None if num_classes is None else sampled_labels(model, data, 50, KEY, 20)
    assert digest(seen) == digest(draw(model, variables, 50, 7, label))
    shown = draw(model, variables, 50, 7, label, preprocess=preprocess)
    np.testing.assert_allclose(preprocess.inverse(jnp.asarray(seen)), shown, rtol=1e-5)


def test_means_are_of_the_codes_of_the_samples():
    """Where the likelihood is noise around them."""
    model = VAE(MLP((4,)), MLP((4,), shape=tiny.SHAPE), 2)
    variables = jax.jit(model.init)(KEY, {'x': jnp.zeros((4, *tiny.SHAPE))})
    variables = jax.tree.map(lambda a: 3 * a, variables)  # so that means differ between codes
    x, means = (draw(model, variables, 4000, 3, means=means) for means in (False, True))
    assert set(np.unique(x)) == {0, 1}
    assert np.max(np.ptp(means, axis=0)) > 0.5
    # Bernoulli with these means, which tell the bits apart better than the mean of all.
    error = np.mean((x - means) ** 2)
    np.testing.assert_allclose(error, np.mean(means * (1 - means)), rtol=0.02)
    assert error < 0.95 * np.mean((x - x.mean(axis=0)) ** 2)
    gan, variables, _ = trained()
    same = (draw(gan, variables, 3, means=means) for means in (False, True))
    np.testing.assert_array_equal(*same)
