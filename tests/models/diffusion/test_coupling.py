"""The optimal coupling of noise and data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import linear_sum_assignment

from genjax.models.diffusion import DiffusionModel
from genjax.models.diffusion.coupling import optimal_noise
from genjax.networks import TimeMLP
from tests.models.diffusion.gaussians import draw

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
X = jnp.asarray(draw(np.random.RandomState(0), 64))


def test_the_optimal_coupling_is_scipys():
    noise = jax.random.normal(KEY, X.shape)
    got = optimal_noise(X, noise)
    cost = np.sum((np.asarray(X)[:, None] - np.asarray(noise)) ** 2, axis=-1)
    columns = linear_sum_assignment(cost)[1]
    np.testing.assert_array_equal(got, noise[columns])
    # Padding takes what is left.
    mask = jnp.arange(len(X)) < 40
    columns = linear_sum_assignment(cost[:40])[1]
    np.testing.assert_array_equal(optimal_noise(X, noise, mask)[:40], noise[columns])


def test_the_optimal_coupling_keeps_noise_within_its_class():
    """Otherwise the noise of a class leans to its data, and samples, whose noise does not, miss."""
    label = jnp.arange(len(X)) % 3
    noise = jax.random.normal(KEY, X.shape)
    condition = jax.nn.one_hot(label, 3)
    got = np.asarray(optimal_noise(X, noise, None, condition))
    masked = np.asarray(optimal_noise(X, noise, jnp.arange(len(X)) < 40, condition))
    for each in range(3):
        rows = np.flatnonzero(label == each)
        cost = np.sum((np.asarray(X)[rows, None] - np.asarray(noise)[rows]) ** 2, axis=-1)
        columns = linear_sum_assignment(cost)[1]
        np.testing.assert_array_equal(got[rows], noise[rows[columns]])
        real = rows < 40
        columns = linear_sum_assignment(cost[np.ix_(real, real)])[1]
        np.testing.assert_array_equal(masked[rows[real]], noise[rows[real][columns]])


@pytest.mark.full
def test_labels_act_under_the_optimal_coupling():
    """Two classes on either side of 0, a network trained for 300 steps."""
    network = TimeMLP((1,), 32, 2, time_scale=10.0)
    model = DiffusionModel(network, coupling='optimal', num_classes=2)

    def data(key, num=32):
        label = jnp.arange(num) % 2
        return {'x': 2.0 * label[:, None] - 1 + 0.25 * jax.random.normal(key, (num, 1)),
                'label': label}  # fmt: skip

    optimizer = optax.adam(5e-3)

    def step(carry, key):
        params, state = carry
        data_key, key = jax.random.split(key)

        def loss(params):
            variables = {'params': params, 'state': {}}
            return jnp.mean(model.denoising_loss(variables, data(data_key), key).values)

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def samples(key):
        init_key, train_key, key = jax.random.split(key, 3)
        params = model.init(init_key, data(key))['params']
        start = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(step, start, jax.random.split(train_key, 300))
        label = jnp.arange(2000) % 2
        return model.sample({'params': params, 'state': {}}, key, 2000, label=label)[:, 0]

    assert np.mean((samples(KEY) > 0) == np.arange(2000) % 2) > 0.97
