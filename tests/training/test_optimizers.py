"""Weight decay of weights alone, Muon, Schedule-Free and norms, against NumPy."""

import functools
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.config import build, leaves, load
from genjax.errors import UserError
from genjax.models.base import LossOutput, Phase
from genjax.training import DecayWeights, MuonWeights
from genjax.training.frozen import path_of
from genjax.training.state import init_state
from genjax.training.step import train_step
from tests.models.zoo import BY_NAME
from tests.tiers import full
from tests.training import tiny
from tests.training.conftest import assert_same
from tests.training.test_step import experiment, line, numbers

KEY = jax.random.key(0)


@functools.cache
def params_of(name):
    """Random parameters of a model of the zoo."""
    entry = BY_NAME[name]
    params = jax.eval_shape(entry.model.init, KEY, entry.batch())['params']
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), params)


def changes_of(optimizer, params, gradient):
    """The first update by path, as NumPy arrays."""
    changes, _ = jax.jit(lambda p, g: optimizer.update(g, optimizer.init(p), p))(params, gradient)
    leaves = jax.tree_util.tree_leaves_with_path(changes)
    return {path_of(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.parametrize(
    ('name', 'kept'),
    [
        ('gpt', {'embedding', 'positions', 'bias', 'scale'}),
        ('gpt-rotary-scan', {'embedding', 'bias', 'scale'}),  # stacked: biases are matrices
        ('flow-glow', {'bias', 'shift', 'log_scale', 'lower', 'upper', 'log_diagonal'}),
        ('vae', {'bias'}),
    ],
)
def test_weights_alone_decay(name, kept):
    params = params_of(name)
    optimizer = optax.adamw(0.1, weight_decay=0.5, mask=DecayWeights())
    found = set()
    leaves = jax.tree_util.tree_leaves_with_path(params)
    changes = changes_of(optimizer, params, jax.tree.map(jnp.zeros_like, params))
    for path, leaf in leaves:
        change, last = changes[path_of(path)], path_of(path[-1:])
        if np.any(change):
            assert last == 'kernel'
            np.testing.assert_allclose(change, -0.05 * leaf, rtol=1e-5)
        else:
            found.add(last)
    assert found == kept


def test_our_configs_decay_weights_alone():
    decaying = 0
    for file in sorted(Path('configs').rglob('*.py')):
        fields = dict(leaves(load(str(file))))
        for path in [path for path in fields if path.endswith('.weight_decay') and fields[path]]:
            mask = path.replace('weight_decay', 'mask._target_')
            assert fields.get(mask) == 'genjax.training.DecayWeights', file
            decaying += 1
    assert decaying > 20


def test_patterns_choose_what_decays():
    with pytest.raises(ValueError, match='regular expression'):
        DecayWeights(('(',))
    mask = DecayWeights(('encoder/.*',))({'encoder': {'bias': 1.0}, 'decoder': {'kernel': 1.0}})
    assert mask == {'encoder': {'bias': True}, 'decoder': {'kernel': False}}
    fields = {'learning_rate': 0.1, 'weight_decay': 0.5}
    config = tiny.vae(optimizer=tiny.spec(optax.adamw, **fields, mask=tiny.spec(DecayWeights)))
    batch = {'x': jnp.zeros((16, *tiny.SHAPE), jnp.uint8)}
    state = jax.eval_shape(functools.partial(init_state, build(config)), batch)
    assert jax.tree.leaves(state.opt_state)


def orthogonal(gradient, rows):
    """U Vᵀ of the gradient as a matrix with this many rows, times √max(1, columns / rows)."""
    matrix = np.asarray(gradient).reshape(rows, -1)
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    scale = np.sqrt(max(1, matrix.shape[1] / matrix.shape[0]))
    return (scale * u @ v).reshape(gradient.shape)


@pytest.mark.parametrize('name', ['gpt-rotary-scan', full('vae-conv-logistic')])
def test_muon_makes_the_gradient_of_each_matrix_orthogonal(name):
    params = params_of(name)
    gradient = jax.tree.map(lambda a: jnp.cos(7 * a), params)
    # The cubic iteration converges to U Vᵀ, that of the paper only near it.
    optimizer = optax.contrib.muon(
        0.1, ns_coeffs=(1.5, -0.5, 0.0), ns_steps=25, beta=0.0, nesterov=False,
        muon_weight_dimension_numbers=MuonWeights(),
    )  # fmt: skip
    changes, seen = changes_of(optimizer, params, gradient), set()
    for path, g in jax.tree_util.tree_leaves_with_path(gradient):
        name = path_of(path)
        if not name.endswith('kernel') or name.split('/')[-2] in ('out', 'output', 'head'):
            want = np.sign(g)
            seen.add('adam')
        elif 'blocks' in name:
            want = np.stack([orthogonal(each, each.shape[0]) for each in g])
            seen.add('stacked')
        else:
            want = orthogonal(g, g[..., 0].size)
            seen.add('filters' if g.ndim == 4 else 'matrices')
        np.testing.assert_allclose(changes[name], -0.1 * want, atol=2e-3, err_msg=name)
    assert len(seen) > 1


def test_schedule_free_evaluates_the_average_of_its_iterates():
    """Defazio et al., eqs. 3 to 5, with the same weight for all steps."""
    optimizer = optax.contrib.schedule_free(optax.sgd(0.1), 0.1, b1=0.8)
    settings, batch = experiment(optimizer=optimizer), numbers()
    state = init_state(settings, batch)
    step = jax.jit(functools.partial(train_step, settings))
    data, target = np.asarray(batch['x'][:, :2]), np.asarray(batch['x'][:, 2])
    x = z = y = np.asarray(line(state))
    for n in range(1, 6):
        state, _ = step(state, batch)
        z = z - 0.1 * 2 * data.T @ (data @ y - target) / 8
        x = (1 - 1 / n) * x + z / n
        y = 0.2 * z + 0.8 * x
        np.testing.assert_allclose(line(state), y, rtol=1e-4)
        np.testing.assert_allclose(state.averaged['params']['line']['w'], x, rtol=1e-4)
    assert_same(state.averaged['params']['other'], state.variables['params']['other'])
    assert np.max(np.abs(x - y)) > 1e-3
    with pytest.raises(UserError, match='ema'):
        init_state(experiment(optimizer=optimizer, ema=(0.9,)), batch)


class Two(nn.Module):
    """Two layers, the second of zeros."""

    @nn.compact
    def __call__(self, x):
        h = nn.Dense(2, name='first')(x)
        return h, nn.Dense(1, kernel_init=nn.initializers.zeros, name='second')(x)


class TwoLayers:
    """A loss with the gradient x̄ for every weight of both layers and 1 for the biases."""

    phases = property(lambda self: (Phase('fit', ('net',), self._loss),))

    def init(self, key, batch):
        return {'params': {'net': Two().init(key, batch['x'])['params']}, 'state': {}}

    def _loss(self, variables, batch, key):
        a, b = Two().apply({'params': variables['params']['net']}, batch['x'])
        return LossOutput(jnp.sum(a, -1) + jnp.sum(b, -1), {}, variables['state'])


@pytest.mark.parametrize('depth', [0, 1, 2])
def test_norms_are_those_of_the_parts_of_the_parameters(depth):
    batch = numbers()
    settings = experiment(TwoLayers(), optax.sgd(0.1), norms=depth, clip_norm=1e-2)
    state = init_state(settings, batch)
    _, metrics = train_step(settings, state, batch)
    square = np.sum(np.mean(batch['x'], 0) ** 2) + 1  # of the gradient of one unit
    sizes = jax.tree.map(lambda a: np.sum(a**2), state.variables['params']['net'])
    first, second = (sum(jax.tree.leaves(sizes[layer])) for layer in ('first', 'second'))
    gradients = {1: {'net': 3 * square}, 2: {'net/first': 2 * square, 'net/second': square}}
    sizes = {1: {'net': first + second}, 2: {'net/first': first, 'net/second': second}}
    assert len(metrics) == 2 + 4 * (depth == 2) + 2 * (depth == 1)
    change = 0.1 * 1e-2 / np.sqrt(3 * square)  # of a gradient, after clipping
    for name, value in gradients.get(depth, {}).items():
        np.testing.assert_allclose(metrics[f'fit/grad_norm/{name}'], np.sqrt(value), rtol=1e-5)
        with np.errstate(divide='ignore'):
            want = change * np.sqrt(value / sizes[depth][name])
        np.testing.assert_allclose(metrics[f'fit/update_ratio/{name}'], want, rtol=1e-5)
