import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models.flow import Spline

pytestmark = pytest.mark.slow

SPLINE = Spline(bins=5, bound=2.0)
X = jnp.linspace(-3, 3, 2001)


def params(seed, scale=1.0):
    return scale * jax.random.normal(jax.random.key(seed), (SPLINE.width,))


def forward(seed, x, scale=1.0):
    return SPLINE.forward(jnp.broadcast_to(params(seed, scale), (*x.shape, SPLINE.width)), x)


def test_it_increases_and_is_the_identity_outside():
    for seed in range(5):
        y, log_slope = forward(seed, X)
        assert jnp.all(jnp.diff(y) > 0)
        outside = jnp.abs(X) >= 2
        np.testing.assert_array_equal(y[outside], X[outside])
        np.testing.assert_array_equal(log_slope[jnp.abs(X) > 2], 0)


def test_zero_parameters_make_the_identity():
    y, log_slope = SPLINE.forward(jnp.zeros((*X.shape, SPLINE.width)), X)
    np.testing.assert_allclose(y, X, atol=1e-6)
    np.testing.assert_allclose(log_slope, 0, atol=1e-5)


def test_it_is_smooth_at_the_knots():
    """Value and slope are continuous, also where the tails begin."""
    for seed in range(5):
        y, log_slope = forward(seed, X, scale=0.3)
        assert jnp.max(jnp.abs(jnp.diff(log_slope))) < 0.05
        np.testing.assert_allclose(
            jnp.diff(y) / jnp.diff(X), jnp.exp(0.5 * (log_slope[1:] + log_slope[:-1])), rtol=0.02
        )


def test_gradients_are_finite_far_outside_and_on_the_edge():
    x = jnp.array([-1e6, -2.0, 0.0, 2.0, 1e6])

    def loss(x, p):
        y, log_slope = SPLINE.forward(jnp.broadcast_to(p, (5, SPLINE.width)), x)
        return jnp.sum(y) + jnp.sum(log_slope)

    for gradient in jax.grad(loss, argnums=(0, 1))(x, params(0, 5.0)):
        assert jnp.all(jnp.isfinite(gradient))


def test_the_inverse_is_as_exact_as_float32_allows():
    """To a rounding of y, as it appears in x where the spline is flat."""
    x = jnp.linspace(-2, 2, 1001)
    for seed in range(5):
        p = jnp.broadcast_to(params(seed, 2.0), (*x.shape, SPLINE.width))
        y, log_slope = SPLINE.forward(p, x)
        back, log_slope_back = SPLINE.inverse(p, y)
        assert jnp.all(jnp.abs(back - x) < 4e-6 * (1 + jnp.exp(-log_slope)))
        np.testing.assert_allclose(log_slope_back, -log_slope, atol=2e-3)
