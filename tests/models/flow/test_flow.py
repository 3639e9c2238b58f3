import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import ContinuousFlow, Flow
from genjax.models.flow import (
    Autoregressive,
    Chain,
    Coupling,
    InvertibleLinear,
    Repeat,
    Reverse,
    Spline,
    Squeeze,
)
from genjax.networks import MLP, MaskedMLP
from tests.models.flow.test_bijections import random_params

KEY = jax.random.key(0)
SIDE = 161
LINE = jnp.linspace(-8, 8, SIDE)
GRID = jnp.stack(jnp.meshgrid(LINE, LINE), axis=-1).reshape(-1, 2)


def mlp():
    return MLP((8,), activation='tanh')


PLANE = {
    'realnvp': Flow(Repeat(Chain((Coupling(mlp()), Reverse())), 4), (2,)),
    'nsf': Flow(Chain((InvertibleLinear(), Coupling(mlp(), Spline()))), (2,)),
    'maf': Flow(Chain((Autoregressive(MaskedMLP((8,))), Reverse())), (2,)),
    'cnf': ContinuousFlow(mlp(), (2,), tolerance=1e-4),
}


def trained(model):
    def init(key, x):
        return model.init(key, {'x': x})

    return random_params(init, GRID[:8], seed=1)


@pytest.mark.parametrize('name', PLANE)
def test_the_density_integrates_to_one(name):
    model = PLANE[name]
    result = jax.jit(model.log_prob)(trained(model), GRID, KEY)
    assert result.kind == 'exact'
    cell = (LINE[1] - LINE[0]) ** 2
    assert jnp.sum(jnp.exp(result.value)) * cell == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize('name', ['realnvp', 'nsf', 'maf'])
def test_samples_follow_the_density(name):
    """The mean of log p over samples is what integrating p log p over the plane gives."""
    model = PLANE[name]
    variables = trained(model)
    x = jax.jit(model.sample, static_argnums=2)(variables, KEY, 2000)
    log_prob = jax.jit(model.log_prob)
    sampled = log_prob(variables, x, KEY).value
    on_grid = log_prob(variables, GRID, KEY).value
    integral = jnp.sum(jnp.exp(on_grid) * on_grid) * (LINE[1] - LINE[0]) ** 2
    error = jnp.std(sampled) / 2000**0.5
    assert jnp.abs(jnp.mean(sampled) - integral) < 4 * error


def test_encode_and_decode_undo_each_other():
    model, x = PLANE['maf'], jax.random.normal(KEY, (16, 2))
    variables = trained(model)
    z = model.encode(variables, x, KEY)
    np.testing.assert_allclose(model.decode(variables, z, KEY), x, atol=1e-5)


def test_a_bijection_that_changes_the_shape_is_refused():
    with pytest.raises(UserError, match=r'makes \(1, 1, 4\) of \(2, 2, 1\)'):
        Flow(Squeeze(), (2, 2, 1)).init(KEY, {'x': jnp.ones((1, 2, 2, 1))})
