"""What StyleGAN adds to a GAN, against explicit Jacobians, NumPy and plain regularisation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GAN, StyleGAN
from genjax.models.gan import StyleGANSampling
from genjax.models.sampling_options import with_sampling
from genjax.networks import MLP, StyleGANDiscriminator, StyleGANGenerator

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
MODEL = StyleGAN(
    StyleGANGenerator((8, 8, 1), 4, 8, latent_features=6, mapping_layers=2),
    StyleGANDiscriminator(4, 8, stddev_group=0),
    latent_dim=5,
    r1_every=3,
    path_length_every=2,
)

BATCH = {'x': jax.random.uniform(KEY, (4, 8, 8, 1), minval=-1.0)}


def _variables(model=MODEL, seed=1):
    """Variables with noise and biases that are not zero."""
    variables = jax.jit(model.init)(jax.random.key(seed), BATCH)
    params = jax.tree.map(
        lambda a: a + 0.1 * jnp.sin(1.0 + jnp.arange(a.size)).reshape(a.shape), variables['params']
    )
    return {**variables, 'params': params}


def _phase(model, name):
    (phase,) = (phase for phase in model.phases if phase.name == name)
    return phase


def _run(model, name, batch=BATCH):
    """Compiled: (variables, key) -> the phase's output and the gradient of its summed loss."""

    def total(params, variables, key):
        out = _phase(model, name).loss({**variables, 'params': params}, batch, key)
        return out.values.sum(), out

    return jax.jit(
        lambda variables, key: jax.grad(total, has_aux=True)(variables['params'], variables, key)
    )


def test_path_length_is_the_norm_of_the_jacobians_product():
    model = dataclasses.replace(MODEL, style_mixing=0.0)
    variables, key = _variables(model), jax.random.key(3)
    z = jax.random.normal(KEY, (3, 5))
    got = jax.jit(lambda v: model._path_lengths(v, z, key=key))(variables)
    _, noise_key, picture_key = jax.random.split(key, 3)
    y = jax.random.normal(picture_key, (3, 8, 8, 1)) / 8
    w = jnp.repeat(model.to_latent(variables, z)[:, None], model.generator.num_latents, axis=1)
    jacobian = jax.jit(jax.jacrev(lambda w: model.synthesise(variables, w, noise_key)))(w)
    for i in range(3):
        product = np.einsum('hwcld,hwc->ld', jacobian[i, :, :, :, i], y[i])
        np.testing.assert_allclose(got[i], np.sqrt(np.mean(np.sum(product**2, axis=1))), rtol=1e-4)


@pytest.mark.full
def test_path_length_penalty_and_its_gradient():
    """Against its definition and finite differences in one direction; so does its average."""
    model = dataclasses.replace(MODEL, path_length=3.0)
    variables, key = _variables(model), jax.random.key(5)
    _, z_key, length_key = jax.random.split(key, 3)
    z = jax.random.normal(z_key, (4, 5))
    lengths = jax.jit(lambda v: model._path_lengths(v, z, key=length_key))(variables)
    state = variables['state']
    state['generator']['path_length']['mean'] = jnp.asarray(0.25)
    without = dataclasses.replace(model, path_length=0.0)
    gradient, out = _run(model, 'generator')(variables, key)
    plain_gradient, plain = _run(without, 'generator')(variables, key)
    penalty = out.values - plain.values
    np.testing.assert_allclose(penalty, 2 * 3.0 * (lengths - 0.25) ** 2, rtol=1e-3, atol=1e-4)
    mean = 0.25 + 0.01 * (np.mean(lengths) - 0.25)
    np.testing.assert_allclose(out.state['generator']['path_length']['mean'], mean, rtol=1e-5)

    def loss(shift):
        start = variables['params']['generator']['synthesis']['start'] + shift * direction
        generator = variables['params']['generator']
        generator = {**generator, 'synthesis': {**generator['synthesis'], 'start': start}}
        moved = {**variables, 'params': {**variables['params'], 'generator': generator}}
        return _phase(model, 'generator').loss(moved, BATCH, key).values.sum()

    steepest = gradient['generator']['synthesis']['start']
    direction = steepest / jnp.linalg.norm(steepest)
    loss = jax.jit(loss)
    difference = (loss(2e-3) - loss(-2e-3)) / 4e-3
    np.testing.assert_allclose(difference, jnp.sum(steepest * direction), rtol=2e-2)
    plain_slope = jnp.sum(plain_gradient['generator']['synthesis']['start'] * direction)
    assert abs(difference - plain_slope) > 0.1 * abs(difference)  # the penalty has its share


@pytest.mark.full
@pytest.mark.parametrize(
    'name, every, weight',
    [('discriminator', 'r1_every', 'r1'), ('generator', 'path_length_every', 'path_length')],
)
def test_lazy_regularisation_counts_as_much_as_the_plain_kind(name, every, weight):
    """Summed over a whole turn of k updates, at fixed parameters and equal noise, the penalties and
    their gradients are k times those of one update that regularises, k at a time.
    """
    k = getattr(MODEL, every)
    always = dataclasses.replace(MODEL, **{every: 1})
    never = dataclasses.replace(MODEL, **{weight: 0.0})
    variables, key = _variables(), jax.random.key(2)
    run, run_without = _run(MODEL, name), _run(never, name)
    sums, state = [], variables['state']
    for _ in range(2 * k):
        (gradient, out), (base, base_out) = (
            f({**variables, 'state': state}, key) for f in (run, run_without)
        )
        part = jax.tree.map(jnp.subtract, gradient[name], base[name])
        sums.append((out.values - base_out.values, part))
        turn = out.state[name][weight]['turn']
        state = {**state, name: {**state[name], weight: {**state[name][weight], 'turn': turn}}}
    sizes = [float(np.max(np.abs(values))) for values, _ in sums]
    due = [size > 1e-3 * max(sizes) for size in sizes]  # two programs round differently
    assert due == ([True] + [False] * (k - 1)) * 2
    total = jax.tree.map(lambda *parts: sum(parts), *sums)
    gradient, out = _run(always, name)(variables, key)
    base, base_out = run_without(variables, key)
    once = (out.values - base_out.values, jax.tree.map(jnp.subtract, gradient[name], base[name]))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, 2 * k * b, rtol=2e-3, atol=1e-3), total, once
    )


@pytest.mark.full
def test_lazy_r1_is_that_of_the_gan():
    """Where R1 is always due, the loss is that of a GAN with R1 (equal but for rounding)."""
    model = dataclasses.replace(MODEL, r1=2.0, r1_every=1)
    variables, key = _variables(model), jax.random.key(2)
    got = _run(model, 'discriminator')(variables, key)[1].values
    plain = dataclasses.replace(model, r1_every=0)
    want = jax.jit(
        lambda v: GAN._discriminator_loss(plain, v, BATCH, jax.random.split(key, 3)[0]).values
    )(variables)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.full
def test_average_latent_follows_the_latents_that_count():
    variables, key = _variables(), jax.random.key(4)
    mask = jnp.array([True, False, True, True])
    out = jax.jit(lambda v: _phase(MODEL, 'generator').loss(v, {**BATCH, 'mask': mask}, key))(
        variables
    )
    z = jax.random.normal(jax.random.split(key, 3)[1], (4, 5))
    w = MODEL.to_latent(variables, z)[mask]
    np.testing.assert_allclose(
        out.state['generator']['w_average']['w'], 0.005 * np.mean(w, axis=0), rtol=1e-4, atol=1e-7
    )


@pytest.mark.full
def test_truncation_draws_latents_towards_their_average():
    variables = _variables()
    average = jnp.arange(6.0)
    variables['state']['generator']['w_average']['w'] = average
    z = jax.random.normal(KEY, (3, 5))
    whole = MODEL.to_latent(variables, z)
    half = with_sampling(MODEL, truncation=0.5)
    want = average + 0.5 * (whole - average)
    np.testing.assert_allclose(half.to_latent(variables, z), want, rtol=1e-5)
    none = with_sampling(MODEL, truncation=0.0).sample(variables, KEY, 2)
    key = jax.random.split(KEY, 3)[2]
    want = MODEL.synthesise(variables, jnp.stack([average, average]), key)
    np.testing.assert_allclose(none, want, atol=1e-5)
    for value in (-1.0, np.nan):
        with pytest.raises(UserError, match=r'StyleGANSampling\.truncation must be at least 0'):
            StyleGANSampling(value)


def test_style_mixing_takes_the_second_code_from_a_random_layer_on():
    variables = _variables()
    z, key = jax.random.normal(KEY, (2000, 5)), jax.random.key(6)
    w = np.asarray(jax.jit(lambda v: MODEL._mixed(v, z, key=key))(variables))
    first = np.asarray(MODEL.to_latent(variables, z))
    assert w.shape == (2000, 4, 6)
    same = np.all(np.abs(w - first[:, None]) < 1e-4, axis=-1)
    assert same[:, 0].all()
    starts = same.sum(axis=1)
    assert np.all(same == (np.arange(4) < starts[:, None]))
    shares = np.bincount(starts, minlength=5)[1:] / 2000
    np.testing.assert_allclose(shares, [0.3, 0.3, 0.3, 0.1], atol=0.04)


def test_samples_have_noise_of_their_own():
    """Two examples of the same latent differ by their noise alone."""
    variables = _variables()
    w = jnp.ones((2, 6))
    quiet = MODEL.synthesise(variables, w)
    np.testing.assert_allclose(quiet[0], quiet[1], atol=1e-5)  # places in a batch round differently
    noisy = MODEL.synthesise(variables, w, KEY)
    assert np.abs(noisy[0] - noisy[1]).max() > 1e-2


def test_only_generators_of_styles_will_do():
    with pytest.raises(UserError, match='needs a generator of styles'):
        StyleGAN(MLP((4,), shape=(2,)), MLP((4,), shape=()), 2)
