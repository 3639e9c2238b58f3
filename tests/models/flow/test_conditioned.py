"""Elementwise maps given the context: their inverse, log-determinant and Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.flow import Affine, Chain, Conditioned, Spline
from genjax.networks import MLP
from tests.models.flow.test_bijections import random_params

pytestmark = pytest.mark.slow


def test_elements_are_mapped_apart_given_the_context():
    network = MLP((8,), activation='tanh')
    bijection = Chain((Conditioned(network, Affine(bound=6.0)), Conditioned(network, Spline(4))))
    x, context = (np.random.RandomState(seed).standard_normal((5, 3)) for seed in (0, 1))

    def transform(x, context):
        return bijection.apply(variables, x[None], context[None])

    variables = random_params(lambda key, x: bijection.init(key, x, context), x, 0)
    z, log_det = bijection.apply(variables, x, context)
    jacobian = jax.jit(jax.vmap(jax.jacobian(lambda x, c: transform(x, c)[0][0])))(x, context)
    diagonal = jnp.diagonal(jacobian, axis1=1, axis2=2)
    np.testing.assert_array_equal(jacobian, diagonal[..., None] * np.eye(3))
    np.testing.assert_allclose(log_det, np.sum(np.log(diagonal), axis=1), atol=1e-5)
    back, log_det_back = bijection.apply(variables, z, context, method='inverse_and_log_det')
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-5)
    assert np.all(np.abs(transform(x[0], context[1])[0] - z[0]) > 1e-4)
    with pytest.raises(UserError, match='for flows with num_classes or context_shape'):
        bijection.init(jax.random.key(0), x)
