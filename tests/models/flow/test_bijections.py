"""What every bijection owes: an inverse, and the log-determinant of its Jacobian."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.flow import (
    ActNorm,
    Affine,
    Autoregressive,
    Chain,
    Coupling,
    Flatten,
    Inverse,
    InvertibleLinear,
    Permute,
    Repeat,
    Reverse,
    Shift,
    Spline,
    Split,
    Squeeze,
    Tokens,
)
from genjax.networks import MLP, ConvNet, MaskedMLP, TokenTransformer
from tests.tiers import few

pytestmark = pytest.mark.slow

SEEDS, BATCH = 3, 4


def mlp():
    return MLP((8,), activation='tanh')


def conv():
    return ConvNet((4,))


def made():
    return MaskedMLP((8, 8), activation='tanh')


def transformer():
    return TokenTransformer(features=8, num_layers=1, num_heads=2)


def glow_step():
    return Chain((ActNorm(), InvertibleLinear(), Coupling(conv())))


GLOW = Chain(
    (
        Squeeze(),
        Repeat(glow_step(), 2),
        Split(Chain((Squeeze(), glow_step(), Inverse(Squeeze())))),
        Inverse(Squeeze()),
    )
)
EVERY = {
    'nothing': (Chain(), (3,)),
    'reverse': (Reverse(), (3,)),
    'permute': (Permute(seed=1), (5,)),
    'squeeze': (Squeeze(), (4, 4, 2)),
    'tokens': (Tokens((2, 4, 3), 2), (2, 4, 3)),
    'split': (Split(ActNorm()), (2, 2, 3)),
    'actnorm': (ActNorm(), (2, 2, 3)),
    'flatten': (
        Chain((Flatten((2, 2, 3)), ActNorm(), Inverse(Flatten((2, 2, 3))))),
        (2, 2, 3),
    ),
    'actnorm-inverse': (Inverse(ActNorm()), (3,)),
    'linear': (InvertibleLinear(), (3,)),
    'linear-picture': (InvertibleLinear(), (2, 2, 3)),
    'additive': (Coupling(mlp(), Shift()), (5,)),
    'affine': (Coupling(mlp()), (2,)),
    'affine-picture': (Coupling(conv()), (2, 2, 3)),
    'spline': (Coupling(mlp(), Spline(4, bound=2.0)), (3,)),
    'maf': (Autoregressive(made()), (4,)),
    'maf-one-number': (Autoregressive(made()), (1,)),
    'maf-spline': (Autoregressive(made(), Spline(3)), (3,)),
    'iaf': (Inverse(Autoregressive(made(), Affine(bound=2.0))), (4,)),
    'tarflow': (Autoregressive(transformer()), (4, 2)),
    'stack-affine': (Repeat(Chain((Coupling(mlp()), Reverse())), 3), (2,)),
    'stack-spline': (
        Repeat(Chain((ActNorm(), InvertibleLinear(), Coupling(mlp(), Spline()))), 3, unroll=2),
        (3,),
    ),
    'stack-iaf': (Repeat(Inverse(Chain((Autoregressive(made()), Reverse()))), 2), (3,)),
    'glow': (GLOW, (4, 4, 1)),
}
# Each is another with other shapes or numbers, and of the full tier.
TWICE = (
    'linear-picture',
    'additive',
    'affine-picture',
    'maf-one-number',
    'stack-spline',
    'stack-iaf',
)


def random_params(init, x, seed):
    """Variables of the shapes that `init(key, x)` gives, none at its initial value."""
    random = np.random.RandomState(seed)

    def draw(leaf):
        fan_in = leaf.shape[-2] if len(leaf.shape) > 1 else 4
        noise = 0.3 * random.standard_normal(leaf.shape) / np.sqrt(fan_in)
        return jnp.asarray(noise, jnp.float32)

    return jax.tree.map(draw, jax.eval_shape(init, jax.random.key(0), x))


@functools.partial(jax.jit, static_argnums=0)
def both_ways(bijection, variables, x):
    """z, its log-determinant and Jacobian [B, D, D], and x and log-determinant of the inverse."""

    def transform(x):
        return bijection.apply(variables, x)

    z, push, log_det = jax.linearize(transform, x, has_aux=True)
    # Examples do not mix, so that one direction serves them all.
    unit = jnp.broadcast_to(jnp.eye(x[0].size).reshape(-1, 1, *x.shape[1:]), (x[0].size, *x.shape))
    jacobian = jax.vmap(push)(unit).reshape(x[0].size, len(x), -1).transpose(1, 2, 0)
    return z, log_det, jacobian, bijection.apply(variables, z, method='inverse_and_log_det')


@pytest.mark.parametrize('name', few(list(EVERY), set(EVERY) - set(TWICE)))
def test_inverse_and_log_determinant(name):
    bijection, shape = EVERY[name]
    for seed in range(SEEDS):
        x = np.random.RandomState(seed).standard_normal((BATCH, *shape)).astype(np.float32)
        variables = random_params(bijection.init, x, seed)
        z, log_det, jacobian, (back, log_det_back) = both_ways(bijection, variables, x)
        assert z.size == x.size
        assert log_det.shape == log_det_back.shape == (BATCH,)
        assert log_det.dtype == jnp.float32
        np.testing.assert_allclose(back, x, atol=1e-5)
        want = np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
        np.testing.assert_allclose(log_det, want, atol=1e-4)
        np.testing.assert_allclose(log_det_back, -log_det, atol=1e-4)


def test_bijections_hash_by_value():
    for bijection, _ in EVERY.values():
        assert hash(bijection) == hash(bijection.clone())


def test_a_stack_has_its_own_parameters_for_each_layer():
    stack = Repeat(Coupling(mlp()), 3)
    kernel = stack.init(jax.random.key(0), jnp.ones((1, 2)))['params']['layer']['network']
    kernel = kernel['Dense_0']['kernel']
    assert kernel.shape == (3, 1, 8)
    assert len(np.unique(kernel[:, 0, 0])) == 3


def test_a_program_does_not_grow_with_the_depth_of_its_stack():
    def size(depth):
        stack = Repeat(Chain((Coupling(mlp(), Spline()), Reverse())), depth)
        x = jnp.ones((4, 2))
        variables = jax.eval_shape(stack.init, jax.random.key(0), x)

        def loss(variables):
            return jnp.sum(stack.apply(variables, x)[1])

        return len(jax.jit(jax.grad(loss)).lower(variables).as_text())

    assert size(32) == pytest.approx(size(4), rel=0.01)


def test_actnorm_normalises_the_first_batch():
    x = 3.0 + 5.0 * jax.random.normal(jax.random.key(0), (64, 2, 2, 3))
    z, _ = ActNorm().init_with_output(jax.random.key(1), x)[0]
    np.testing.assert_allclose(jnp.mean(z, (0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(jnp.std(z, (0, 1, 2)), 1, rtol=1e-4)


@pytest.mark.parametrize('constant', [0.0, 300.0, 1e6])
def test_actnorm_does_not_blow_up_what_hardly_varies(constant):
    x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    x[:, 0] = constant
    x[:, 1] *= 1e-3
    layer = Repeat(Chain((ActNorm(), Reverse())), 8)
    variables = layer.init(jax.random.key(1), x)
    other = np.array([[constant + 1, 1, 1, 1]], np.float32)
    z, log_det = layer.apply(variables, other)
    assert np.abs(z).max() < 3
    assert np.all(np.abs(log_det) < 3)
    back, _ = layer.apply(variables, z, method='inverse_and_log_det')
    np.testing.assert_allclose(back, other, rtol=1e-5)
    z, _ = ActNorm().init_with_output(jax.random.key(1), np.full((5, 2), constant, np.float32))[0]
    np.testing.assert_array_equal(z, 0)
    z, _ = ActNorm(least=0.0).init_with_output(jax.random.key(1), x)[0]
    np.testing.assert_allclose(jnp.std(z, axis=0), [0, 1, 1, 1], rtol=1e-3, atol=1e-6)


def test_actnorm_normalises_at_every_layer_of_a_stack():
    x = 3.0 + 5.0 * jax.random.normal(jax.random.key(0), (64, 2))
    variables = Repeat(ActNorm(), 2).init(jax.random.key(1), x)
    scale = jnp.exp(variables['params']['layer']['log_scale'])
    np.testing.assert_allclose(scale[0], jnp.std(x, 0), rtol=1e-4)
    np.testing.assert_allclose(scale[1], 1, rtol=1e-4)


@pytest.mark.parametrize('name', ['maf', 'tarflow'])
def test_the_jacobian_of_an_autoregressive_map_is_triangular(name):
    bijection, shape = EVERY[name]
    x = np.random.RandomState(0).standard_normal((BATCH, *shape)).astype(np.float32)
    jacobian = both_ways(bijection, random_params(bijection.init, x, 0), x)[2]
    token = np.arange(x[0].size) // (x[0].size // shape[0])
    for matrix in np.asarray(jacobian):
        assert np.all(matrix[token[:, None] < token] == 0)
        assert np.all(matrix[token[:, None] > token] != 0)
        assert np.all(np.diag(matrix) > 0)


def test_a_linear_layer_starts_as_a_rotation():
    matrix, log_det = InvertibleLinear().init_with_output(jax.random.key(0), jnp.eye(4))[0]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(log_det, 0)
    assert np.abs(matrix - np.eye(4)).max() > 0.1


@pytest.mark.parametrize(
    'bijection, shape, message',
    [
        (Squeeze(), (3, 4, 1), 'blocks of 2x2'),
        (Coupling(mlp()), (1,), 'at least 2 features'),
        (Coupling(mlp()), (2, 2, 2), 'keep all dimensions.*Flatten'),
        (Coupling(mlp()), (2, 2, 1), 'Squeeze .* or Flatten'),
        (Flatten((3, 1)), (2, 2), r'shape=\(3, 1\)'),
        (Autoregressive(made()), (2, 2, 2), 'vectors.*Tokens or Flatten'),
    ],
)
def test_shapes_that_do_not_fit_are_explained(bijection, shape, message):
    with pytest.raises(UserError, match=message):
        bijection.init(jax.random.key(0), jnp.ones((2, *shape)))


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: Coupling(MLP((4,), dropout=0.1)), 'dropout must be 0'),
        (lambda: Repeat(Reverse(), 0), 'Repeat'),
        (lambda: Affine(bound=0.0), 'bound'),
        (lambda: Spline(bins=0), 'bins'),
        (lambda: Spline(bound=-1.0), 'bound'),
    ],
)
def test_fields_that_make_no_sense_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
