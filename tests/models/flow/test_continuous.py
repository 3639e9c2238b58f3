import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from genjax.errors import UserError
from genjax.models import ContinuousFlow, ode
from genjax.networks import MLP
from tests.models.flow.test_bijections import random_params

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
MODEL = ContinuousFlow(MLP((8,), activation='tanh'), (3,), tolerance=1e-5)
X = jax.random.normal(jax.random.key(1), (4, 3))
VARIABLES = random_params(lambda key, x: MODEL.init(key, {'x': x}), X, seed=2)
VELOCITY = functools.partial(MODEL.velocity, VARIABLES)


TIME = jnp.float32(0.3)


def trace_and_norm():
    """Of the Jacobians at X, by jacfwd."""

    def velocity(x):
        return MODEL.velocity(VARIABLES, x[None], TIME)[0]

    jacobian = jax.vmap(jax.jacfwd(velocity))(X)
    return jnp.trace(jacobian, axis1=1, axis2=2), jnp.sum(jacobian**2, axis=(1, 2))


def test_the_trace_and_the_norm_of_the_jacobian():
    directions = ode.directions('exact', X, KEY)
    _, *got = ode.velocity_and_jacobian(VELOCITY, X, TIME, directions)
    np.testing.assert_allclose(got, trace_and_norm(), rtol=1e-5)


def test_hutchinsons_estimates_are_unbiased():
    draws = 4000

    def draw(key):
        directions = ode.directions('hutchinson', X, key)
        return jnp.stack(ode.velocity_and_jacobian(VELOCITY, X, TIME, directions)[1:])

    estimates = jax.jit(jax.vmap(draw))(jax.random.split(KEY, draws))
    error = jnp.std(estimates, axis=0) / draws**0.5
    assert jnp.all(error > 0)
    assert jnp.all(jnp.abs(jnp.mean(estimates, axis=0) - jnp.stack(trace_and_norm())) < 4 * error)


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
    # The path is x exp(A t) with velocity x exp(A t) A, and the Jacobian is A all along.
    path = [np.asarray(X) @ scipy.linalg.expm(matrix * t) @ matrix for t in np.linspace(0, 1, 101)]
    kinetic = scipy.integrate.simpson((np.stack(path) ** 2).sum(-1), dx=0.01, axis=0)
    penalised = dataclasses.replace(model, kinetic=0.5, jacobian=2.0)
    penalty = jax.jit(penalised.phases[0].loss)(variables, {'x': X}, KEY).metrics['penalty']
    np.testing.assert_allclose(penalty, 0.5 * kinetic + 2 * (matrix**2).sum(), rtol=1e-3)


def test_the_error_is_of_fourth_order_and_has_its_weight():
    """A step of length h errs by order h⁵, the N steps of a path by N⁻⁴."""
    flow = VARIABLES['params']['flow']
    stiff = {**flow, 'head': jax.tree.map(lambda a: 30 * a, flow['head'])}
    variables = {**VARIABLES, 'params': {'flow': stiff}}

    def loss(train_steps, error=0.0):
        model = dataclasses.replace(MODEL, train_steps=train_steps, error=error)
        return jax.jit(model.phases[0].loss)(variables, {'x': X}, KEY)

    plain, weighted = loss(4), loss(4, error=1000.0)
    errors = plain.metrics['error']
    assert 8 < jnp.mean(errors) / jnp.mean(loss(8).metrics['error']) < 32
    np.testing.assert_allclose(weighted.values - plain.values, 1000 * errors, rtol=1e-2)


def test_the_error_of_a_flow_at_rest_has_no_gradient():
    def error(variables):
        return jnp.sum(MODEL.phases[0].loss(variables, {'x': X}, KEY).metrics['error'])

    gradient = jax.jit(jax.grad(error))(MODEL.init(KEY, {'x': X}))
    assert all(jnp.all(jnp.abs(g) < 1e-6) for g in jax.tree.leaves(gradient))


def test_an_estimate_says_so():
    model = dataclasses.replace(MODEL, divergence='hutchinson', tolerance=1e-2)
    assert jax.eval_shape(model.log_prob, VARIABLES, X, KEY).kind == 'estimate'


@pytest.mark.parametrize('field, value', [('divergence', 'none'), ('train_steps', 0)])
def test_fields_that_make_no_sense_are_refused(field, value):
    with pytest.raises(UserError, match=field):
        dataclasses.replace(MODEL, **{field: value})
