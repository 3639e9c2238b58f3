import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Binarise, Chain, Dequantise, Logit, Scale
from genjax.errors import UserError

KEY = jax.random.key(0)
PIXELS = np.random.RandomState(0).randint(256, size=(5, 2, 3, 1)).astype(np.uint8)
UNIT = np.random.RandomState(1).uniform(size=(5, 2, 3, 1)).astype(np.float32)

CHANGES_DENSITY = [
    (Scale(), PIXELS),
    (Scale(-1.0, 1.0), PIXELS),
    (Scale(1.0, 0.0), PIXELS),
    (Dequantise(), PIXELS),
    (Dequantise(levels=17), PIXELS % 17),
    (Logit(), UNIT),
    (Logit(alpha=1e-6), UNIT),
    (Logit(alpha=0.0), UNIT),
    (Chain((Dequantise(), Logit())), PIXELS),
    (Chain((Scale(), Logit(alpha=0.1))), PIXELS),
    (Chain(()), UNIT),
]
ids = [str(step) for step, _ in CHANGES_DENSITY]


@pytest.mark.parametrize(('step', 'x'), CHANGES_DENSITY, ids=ids)
def test_log_det_is_that_of_the_jacobian(step, x):
    y, log_det = jax.jit(step.__call__)(x, KEY)
    assert (y.shape, y.dtype) == (x.shape, jnp.float32)
    assert (log_det.shape, log_det.dtype) == ((len(x),), jnp.float32)
    flat = x.reshape(len(x), -1).astype(np.float32)
    jacobian = jax.jacfwd(lambda f: step(f.reshape(x.shape), KEY)[0].reshape(f.shape))(flat)
    for example in range(len(x)):
        matrix = np.asarray(jacobian[example, :, example], np.float64)
        np.testing.assert_allclose(
            log_det[example], np.linalg.slogdet(matrix)[1], rtol=2e-5, atol=1e-4
        )


@pytest.mark.parametrize(('step', 'x'), CHANGES_DENSITY, ids=ids)
def test_inverse_goes_back(step, x):
    y, _ = step(x, KEY)
    np.testing.assert_allclose(step.inverse(y), x, rtol=1e-4, atol=1e-4)


RANDOM = [Binarise(), Dequantise(), Chain((Dequantise(), Logit())), Chain((Binarise(),))]


@pytest.mark.parametrize('step', [*RANDOM, Scale(), Chain()], ids=str)
def test_an_example_does_not_depend_on_its_batch_mates(step):
    others = PIXELS.copy()
    others[1:] = 255 - others[1:]
    for mates in (others, np.concatenate([others, others]), others[:1]):
        y, log_det = step(jnp.asarray(PIXELS), KEY)
        z, log_det_z = step(jnp.asarray(mates), KEY)
        np.testing.assert_array_equal(y[0], z[0])
        np.testing.assert_array_equal(log_det[0], log_det_z[0])


@pytest.mark.parametrize('step', RANDOM, ids=str)
def test_noise_depends_on_the_key_alone(step):
    same, again = step(PIXELS, KEY)[0], step(PIXELS, KEY)[0]
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, step(PIXELS, jax.random.key(1))[0])
    rows = step(np.repeat(PIXELS[:1], 2, axis=0), KEY)[0]
    assert not np.array_equal(rows[0], rows[1])


def test_binarise_draws_with_the_pixels_probability():
    x = np.broadcast_to(np.array([0, 51, 204, 255], np.uint8), (20_000, 4))
    y, log_det = Binarise()(x, KEY)
    assert set(np.unique(y)) == {0, 1}
    np.testing.assert_allclose(y.mean(axis=0), [0, 0.2, 0.8, 1], atol=0.015)
    assert y[:, 0].max() == 0 and y[:, 3].min() == 1
    np.testing.assert_array_equal(log_det, 0)
    np.testing.assert_array_equal(Binarise().inverse(y), 255 * y)


def test_dequantise_always_finds_the_value_again():
    for levels in (2, 17, 100, 255, 256):
        x = np.broadcast_to(np.arange(levels, dtype=np.uint8), (2000, levels))
        y, _ = Dequantise(levels)(x, KEY)
        assert y.min() > 0 and y.max() < 1
        np.testing.assert_array_equal(Dequantise(levels).inverse(y), x)
    noise = np.asarray(y * 256 - x)
    assert (noise.min(), noise.max()) == pytest.approx((0, 1), abs=1e-4)
    assert noise.mean() == pytest.approx(0.5, abs=2e-3)
    assert noise.var() == pytest.approx(1 / 12, abs=1e-3)


def test_dequantisation_bounds_the_probability():
    """Two pixels of four levels; the density is a product of Betas, whose integrals are exact."""
    levels, a, b = 4, 2.0, 3.0

    def log_density(y):
        log_beta = jax.scipy.special.betaln(a, b)
        return jnp.sum((a - 1) * jnp.log(y) + (b - 1) * jnp.log1p(-y) - log_beta, axis=-1)

    edges = jax.scipy.special.betainc(a, b, jnp.arange(levels + 1) / levels)
    log_mass = np.log(np.diff(np.asarray(edges)))
    step = Dequantise(levels)
    assert step.bound
    for x in itertools.product(range(levels), repeat=2):
        exact = log_mass[list(x)].sum()
        y, log_det = step(np.broadcast_to(np.array(x, np.uint8), (20_000, 2)), KEY)
        terms = log_density(y) + log_det
        # Averaging densities rather than their logarithms gives the probability itself.
        estimate = jax.nn.logsumexp(terms) - np.log(len(terms))
        assert estimate == pytest.approx(exact, abs=0.02)
        assert terms.mean() < exact + 0.01
    assert terms.mean() < exact - 0.05  # at the corner the density is far from flat: a true bound


def test_chain_adds_up_and_has_a_key_for_each_step():
    chain = Chain((Dequantise(), Logit(0.1)))
    first, second = chain.steps
    y, log_det = chain(PIXELS, KEY)
    u, log_det_1 = first(PIXELS, jax.random.fold_in(KEY, 0))
    z, log_det_2 = second(u, jax.random.fold_in(KEY, 1))
    np.testing.assert_array_equal(y, z)
    np.testing.assert_allclose(log_det, log_det_1 + log_det_2, rtol=1e-6)


def test_bound_of_a_chain():
    assert Chain((Dequantise(), Logit())).bound
    assert not Chain((Scale(), Logit())).bound
    assert not Chain().bound


def test_the_empty_chain_keeps_tokens_and_casts_pictures():
    assert Chain()(PIXELS, KEY)[0].dtype == jnp.float32
    tokens, log_det = Chain()(np.array([[1, 2], [3, 4]], np.int32), KEY)
    assert tokens.dtype == jnp.int32
    np.testing.assert_array_equal(log_det, 0)
    assert Chain()(np.zeros((2, 2), np.float32), KEY)[0].dtype == jnp.float32


def test_mistakes_are_refused():
    with pytest.raises(UserError, match='Dequantise takes the pixels of the data: put it first'):
        Chain((Scale(), Dequantise()))
    with pytest.raises(UserError, match='put Dequantise or Scale before it'):
        Chain((Logit(),))(PIXELS, KEY)
    with pytest.raises(UserError, match=r'alpha=0\.5'):
        Logit(0.5)
    with pytest.raises(UserError, match='levels=1'):
        Dequantise(1)
    with pytest.raises(UserError, match='leave nothing between'):
        Scale(0.5, 0.5)


def test_fields_can_be_traced():
    """One compiled program may train models that differ in these numbers."""

    @jax.jit
    def log_dets(low, high, alpha):
        one_traced = Scale(high=high)(PIXELS, KEY)[1]
        return Scale(low)(PIXELS, KEY)[1], Logit(alpha)(UNIT, KEY)[1], one_traced

    traced = log_dets(-1.0, 2.0, 0.05)
    np.testing.assert_allclose(traced[2], Scale(high=2.0)(PIXELS, KEY)[1], rtol=1e-6)
    np.testing.assert_allclose(traced[0], Scale(-1.0)(PIXELS, KEY)[1], rtol=1e-6)
    np.testing.assert_allclose(traced[1], Logit(0.05)(UNIT, KEY)[1], rtol=1e-6)


def test_scale_rounds_to_the_levels_of_the_data():
    stored = jnp.round(jnp.arange(17) * 255 / 16)
    step = Scale(-1.0, 1.0, levels=17)
    y, _ = step(stored, KEY)
    np.testing.assert_array_equal(step.inverse(y), stored)
    np.testing.assert_array_equal(step.inverse(y + 0.05), stored)
    np.testing.assert_array_equal(step.inverse(jnp.array([-3.0, 3.0])), [0, 255])
