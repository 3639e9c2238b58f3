"""Inverses that compute each unit of a masked network once are those by whole passes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models.flow import Affine, Autoregressive, Spline
from genjax.networks import MaskedMLP
from tests.tiers import full

pytestmark = pytest.mark.slow


class ByPasses(MaskedMLP):
    """Without the method for single rows."""

    by_row = None


@pytest.mark.parametrize(
    'shape, features, transform, context',
    [
        ((11,), (16, 25), Spline(4), None),  # degrees with one, two and three units
        full(
            (9, 2), (5, 30), Affine(), (5, 3)
        ),  # degrees without units; a context before the tokens
        full((8,), (), Affine(), (5, 2)),
    ],
)
def test_inverse_log_determinant_and_gradients(shape, features, transform, context):
    random = np.random.RandomState(1)
    z = random.standard_normal((5, *shape)).astype(np.float32)
    given = () if context is None else (random.standard_normal(context).astype(np.float32),)
    layers = [
        Autoregressive(kind(features, activation='sigmoid'), transform)
        for kind in (MaskedMLP, ByPasses)
    ]
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(0.1 * random.standard_normal(leaf.shape), jnp.float32),
        jax.eval_shape(layers[0].init, jax.random.key(0), z, *given),
    )

    @functools.partial(jax.jit, static_argnums=0)
    def inverse(layer, variables, z):
        def total(variables, z):
            x, log_det = layer.apply(variables, z, *given, method='inverse_and_log_det')
            return jnp.sum(jnp.sin(x)) + jnp.sum(log_det), (x, log_det)

        return jax.value_and_grad(total, (0, 1), has_aux=True)(variables, z)

    by_row, by_passes = (inverse(layer, variables, z) for layer in layers)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), by_row, by_passes
    )
    (_, (x, log_det)), _ = by_row
    back, change = jax.jit(layers[0].apply)(variables, x, *given)
    np.testing.assert_allclose(back, z, atol=1e-5)
    np.testing.assert_allclose(change, -log_det, atol=1e-5)
