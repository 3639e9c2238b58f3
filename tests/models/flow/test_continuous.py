import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from genjax.errors import UserError
from genjax.models import ContinuousFlow
from genjax.networks import MLP
from tests.models.flow.test_bijections import random_params

KEY = jax.random.key(0)
MODEL = ContinuousFlow(MLP((8,), activation='tanh'), (3,), tolerance=1e-5)
X = jax.random.normal(jax.random.key(1), (4, 3))
VARIABLES = random_params(lambda key, x: MODEL.init(key, {'x': x}), X, seed=2)


def jacobian_trace(x, time):
    def velocity(x):
        return MODEL.velocity(VARIABLES, x[None], time)[0]

    return jnp.trace(jax.jacfwd(velocity)(x))


def test_the_divergence_is_the_trace_of_the_jacobian():
    time = jnp.float32(0.3)
    directions = MODEL._directions(X, KEY)
    _, divergence = MODEL.velocity_and_divergence(VARIABLES, X, time, directions)
    want = jax.vmap(jacobian_trace, (0, None))(X, time)
    np.testing.assert_allclose(divergence, want, rtol=1e-5)


def test_hutchinsons_estimate_is_unbiased():
    time, draws = jnp.float32(0.3), 4000
    model = dataclasses.replace(MODEL, divergence='hutchinson')

    def draw(key):
        directions = model._directions(X, key)
        return model.velocity_and_divergence(VARIABLES, X, time, directions)[1]

    estimates = jax.jit(jax.vmap(draw))(jax.random.split(KEY, draws))
    want = jax.vmap(jacobian_trace, (0, None))(X, time)
    error = jnp.std(estimates, axis=0) / draws**0.5
    assert jnp.all(error > 0)
    assert jnp.all(jnp.abs(jnp.mean(estimates, axis=0) - want) < 4 * error)


def test_a_linear_velocity_has_the_flow_of_the_matrix_exponential():
    """v(x) = x A takes x to x exp(A), and the log-determinant is the trace of A."""
    model = ContinuousFlow(MLP((3,), activation='identity'), (3,))
    variables = model.init(KEY, {'x': X})
    matrix = np.random.RandomState(0).standard_normal((3, 3))
    without_time = np.concatenate([np.eye(3), np.zeros((1, 3))])
    variables['params']['flow']['network']['Dense_0']['kernel'] = jnp.asarray(without_time)
    variables['params']['flow']['head']['kernel'] = jnp.asarray(matrix, jnp.float32)
    z = np.asarray(X) @ scipy.linalg.expm(matrix)
    want = model.base.log_prob(z) + np.trace(matrix)

    np.testing.assert_allclose(jax.jit(model.decode)(variables, z, KEY), X, atol=1e-3)
    got = jax.jit(model.log_prob)(variables, X, KEY)
    assert got.kind == 'exact'
    np.testing.assert_allclose(got.value, want, rtol=1e-4, atol=1e-3)
    loss = jax.jit(model.phases[0].loss)(variables, {'x': X}, KEY)
    np.testing.assert_allclose(-loss.values, want, rtol=1e-4, atol=1e-3)


def test_an_estimate_says_so():
    model = dataclasses.replace(MODEL, divergence='hutchinson', tolerance=1e-2)
    assert jax.eval_shape(model.log_prob, VARIABLES, X, KEY).kind == 'estimate'


@pytest.mark.parametrize('field, value', [('divergence', 'none'), ('train_steps', 0)])
def test_fields_that_make_no_sense_are_refused(field, value):
    with pytest.raises(UserError, match=field):
        dataclasses.replace(MODEL, **{field: value})
