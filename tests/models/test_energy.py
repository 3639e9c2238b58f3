"""JEM: Langevin dynamics of a Gaussian, closed-form gradients, the buffer, a density learned."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.errors import UserError
from genjax.models import JEM
from genjax.models.energy import langevin
from genjax.networks import MLP
from tests.models.probe import variables_of
from tests.models.zoo import BY_NAME

KEY = jax.random.key(3)


def test_langevin_has_the_law_of_a_gaussian_energy():
    """x' = (1 - a) x + noise ε with a = step_size / σ²: normal after any number of steps."""
    scale, noise, steps, start = 0.5, 0.3, 7, 2.0
    for step_size in (0.05, noise**2 / 2):
        moved = langevin(
            lambda x: -jnp.sum(x**2, axis=-1) / (2 * scale**2),
            jnp.full((100_000, 1), start), KEY, steps, step_size, noise,
        )  # fmt: skip
        shrink = 1 - step_size / scale**2
        variance = noise**2 * np.sum(shrink ** (2 * np.arange(steps)))
        assert abs(moved.mean() - start * shrink**steps) < 4 * np.sqrt(variance / 100_000)
        assert np.var(moved) == pytest.approx(variance, rel=0.02)
    # With step_size = noise² / 2 the stationary law is the target, up to terms of its order.
    small = 0.05
    chain = functools.partial(langevin, steps=4000, step_size=small**2 / 2, noise=small)
    moved = chain(lambda x: -jnp.sum(x**2, axis=-1) / (2 * scale**2), jnp.zeros((4000, 1)), KEY)
    assert np.var(moved) == pytest.approx(scale**2, rel=0.08)


def model_of(**options):
    """Logits that are linear in x [B, 2]."""
    model = JEM(MLP(()), 3, (2,), **{'buffer': 10, **options})
    batch = {
        'x': jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (6, 2)), jnp.float32),
        'label': jnp.array([0, 1, 2, -1, 1, 0]),
    }
    return model, model.init(KEY, batch), batch


def test_the_score_of_linear_logits_is_the_mean_of_their_weights():
    model, variables, batch = model_of()
    kernel = np.asarray(variables['params']['head']['kernel'])
    p = jax.nn.softmax(batch['x'] @ kernel)
    np.testing.assert_allclose(model.score(variables, batch['x']), p @ kernel.T, rtol=1e-5)
    # Of another network, against differences.
    entry = BY_NAME['jem']
    x, variables = entry.batch()['x'], variables_of(entry)
    for i in range(2):
        step = 1e-2 * jnp.eye(2)[i]
        ends = [-entry.model.energy(variables, x + sign * step) for sign in (1, -1)]
        want = (ends[0] - ends[1]) / 2e-2
        np.testing.assert_allclose(
            entry.model.score(variables, x)[:, i], want, rtol=2e-2, atol=1e-4
        )


def test_the_loss_of_chains_that_stand_still():
    model, variables, batch = model_of(step_size=0.0, noise=0.0, restart=0.0, alpha=2.0, buffer=6)
    out = model.phases[0].loss(variables, batch, KEY)
    np.testing.assert_array_equal(out.state['buffer'], variables['state']['buffer'])
    log_p = -model.energy(variables, batch['x'])
    sampled = log_p - out.metrics['gap']
    chains = -model.energy(variables, variables['state']['buffer'])
    np.testing.assert_allclose(np.sort(sampled), np.sort(chains), rtol=1e-5, atol=1e-6)
    logits = np.asarray(model.classify(variables, batch['x']))
    label = np.asarray(batch['label'])
    entropy = np.where(label >= 0, log_p - logits[np.arange(6), label], 0)
    np.testing.assert_allclose(out.values, entropy - 2 * out.metrics['gap'], rtol=1e-5, atol=1e-6)


def test_chains_move_where_an_example_counts():
    model, variables, batch = model_of(restart=1.0, noise=0.0, step_size=0.0)
    key = jax.random.key(8)  # not that of the first chains
    mask = jnp.array([True, False, True, True, False, False])
    before = variables['state']['buffer']
    after = model.phases[0].loss(variables, {**batch, 'mask': mask}, key).state['buffer']
    assert np.sum(np.any(after != before, axis=1)) == 3
    assert np.all(np.abs(after) <= 1)
    # Of two micro-batches each keeps what it moved.
    keys = jax.random.split(key, 2)
    states = [model.phases[0].loss(variables, batch, key).state for key in keys]
    merged = model.phases[0].merge(
        variables['state'], jax.tree.map(lambda *a: jnp.stack(a), *states), jnp.ones(2)
    )['buffer']
    first, second = (state['buffer'] for state in states)
    want = np.where(second != before, second, first)
    np.testing.assert_array_equal(merged, want)
    assert np.any(first != before) and np.any(merged != second)


def test_samples_of_a_class_start_from_its_chains():
    model, variables, _ = model_of(step_size=0.0, noise=0.0)
    model = dataclasses.replace(model, buffer=4)
    # The logits of class k are 50 x_k or 0; chain i is of class i % 3, but class 1 has two.
    kernel = jnp.array([[50.0, 0.0, 0.0], [0.0, 50.0, 0.0]])
    chains = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [-0.5, 1.0]])
    variables = {
        'params': {**variables['params'], 'head': {'kernel': kernel, 'bias': jnp.zeros(3)}},
        'state': {**variables['state'], 'buffer': chains},
    }
    label = jnp.arange(300) % 3
    x = model.sample(variables, KEY, 300, label=label)
    np.testing.assert_array_equal(x[label == 0], np.tile(chains[0], (100, 1)))
    np.testing.assert_array_equal(x[label == 2], np.tile(chains[2], (100, 1)))
    share = np.mean(np.all(x[label == 1] == chains[1], axis=1))
    assert 0.3 < share < 0.7 and set(np.unique(x[label == 1][:, 0])) == {-0.5, 0.0}


class Squares(nn.Module):
    """x and x²: linear logits of these are the log-densities of normals."""

    @nn.compact
    def __call__(self, x):
        return jnp.concatenate([x, x**2], axis=-1)


def test_it_learns_two_normals():
    """log p(x, y) = -(x - m_y)² / 2 s² + log p(y) + c: the maximum of likelihood is known."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 4000)
    x = np.where(label, 0.4, -0.3)[:, None] + 0.25 * random.standard_normal((4000, 1))
    noise = 0.1
    model = JEM(Squares(), 2, (1,), noise=noise, step_size=noise**2 / 2, buffer=2000, restart=0.0)
    data = {'x': jnp.asarray(x, jnp.float32), 'label': jnp.asarray(label)}
    optimizer = optax.adam(optax.linear_schedule(0.3, 0.0, 800))
    variables = model.init(KEY, {name: rows[:500] for name, rows in data.items()})

    def step(carry, key):
        variables, state = carry
        rows = jax.random.randint(key, (500,), 0, 4000)
        batch = {name: values[rows] for name, values in data.items()}

        def loss(params):
            out = model.phases[0].loss({**variables, 'params': params}, batch, key)
            return jnp.mean(out.values), out.state

        gradient, new = jax.grad(loss, has_aux=True)(variables['params'])
        updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(variables['params'], updates)
        return ({'params': params, 'state': new}, state), None

    carry = variables, optimizer.init(variables['params'])
    (variables, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, jax.random.split(KEY, 800)))(carry)
    (slope, curve) = np.asarray(variables['params']['head']['kernel'])
    variance = -1 / (2 * curve)
    np.testing.assert_allclose(variance, 0.25**2, rtol=0.2)
    np.testing.assert_allclose(slope * variance, [-0.3, 0.4], atol=0.06)
    assert np.mean(np.argmax(model.classify(variables, data['x']), 1) == label) > 0.9
    # The chains have the distribution of the data.
    chains = np.asarray(variables['state']['buffer'])
    assert chains.mean() == pytest.approx(x.mean(), abs=0.06)
    assert chains.std() == pytest.approx(x.std(), rel=0.12)


def test_what_it_refuses():
    with pytest.raises(UserError, match=r'JEM\.buffer=3 chains are too few for batches of 6'):
        model_of(buffer=3)
    with pytest.raises(UserError, match=r'JEM\.restart must be at least 0 and at most 1'):
        model_of(restart=2.0)
    with pytest.raises(UserError, match='num_classes must be at least 2'):
        dataclasses.replace(model_of()[0], num_classes=1)
