"""The train step against what it should be, written out by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.config import build, spec
from genjax.models import GAN, VAE
from genjax.models.base import LossOutput, Phase
from genjax.networks import MLP
from genjax.schedules import Scheduled, half_life
from genjax.training import Experiment
from genjax.training.optimizers import scheduled_adam
from genjax.training.state import init_state
from genjax.training.step import train_step, train_steps
from tests.models.zoo import BY_NAME
from tests.training import tiny
from tests.training.conftest import assert_same


@dataclasses.dataclass(frozen=True)
class Line:
    """Least squares in closed form; with `noise` the targets depend on the key."""

    noise: float = 0.0
    repeats: int = 1

    event_shape = (3,)

    @property
    def phases(self):
        return (Phase('fit', ('line',), self._loss, self.repeats),)

    def init(self, key, batch):
        return {
            'params': {'line': {'w': jnp.array([0.3, -0.2])}, 'other': {'w': jnp.ones(2)}},
            'state': {'line': {'calls': jnp.zeros(()), 'seen': jnp.zeros(())}},
        }

    def _loss(self, variables, batch, key):
        x, w = batch['x'], variables['params']['line']['w']
        error = x[:, :2] @ w - x[:, 2] + self.noise * jax.random.normal(key, len(x))
        state = variables['state']['line']
        state = {'calls': state['calls'] + 1, 'seen': state['seen'] + jnp.sum(x)}
        return LossOutput(error**2, {'error': error, 'one': jnp.ones(())}, {'line': state})


def experiment(model=None, optimizer=None, batch_size=8, **fields):
    return Experiment(
        dataset=tiny.Blots(),
        model=model or Line(),
        optimizer=optimizer or optax.adam(0.1),
        steps=10,
        batch_size=batch_size,
        **fields,
    )


def numbers(size=8, seed=0):
    x = np.random.default_rng(seed).normal(size=(size, 3))
    return {'x': jnp.asarray(x, jnp.float32)}


def step_from_start(settings, batch):
    state = jax.jit(functools.partial(init_state, settings))(batch)
    return state, *jax.jit(functools.partial(train_step, settings))(state, batch)


def by_hand(state, batch, optimizer, weights=None, clip=None):
    """One optax step on the weighted mean of the squared errors."""
    weights = jnp.ones(len(batch['x'])) if weights is None else weights

    def loss(params):
        error = batch['x'][:, :2] @ params['line']['w'] - batch['x'][:, 2]
        return jnp.sum(weights * error**2) / jnp.sum(weights)

    params = {'line': state.variables['params']['line']}
    value, gradient = jax.value_and_grad(loss)(params)
    if clip is not None:
        gradient, _ = optax.clip_by_global_norm(clip).update(gradient, optax.EmptyState())
    changes, _ = optimizer.update(gradient, optimizer.init(params), params)
    return optax.apply_updates(params, changes)['line']['w'], value


def line(state):
    return state.variables['params']['line']['w']


@pytest.mark.parametrize('optimizer', [optax.sgd(0.1), optax.adamw(0.1, weight_decay=0.5)])
def test_a_step_is_one_optax_step_on_the_mean_loss(optimizer):
    batch = numbers()
    before, after, metrics = step_from_start(experiment(optimizer=optimizer), batch)
    want, loss = by_hand(before, batch, optimizer)
    np.testing.assert_allclose(line(after), want, rtol=1e-6)
    np.testing.assert_allclose(metrics['fit/loss'], loss, rtol=1e-6)
    assert after.step == 1
    assert_same(after.key, before.key)
    assert_same(after.variables['params']['other'], before.variables['params']['other'])


@dataclasses.dataclass(frozen=True)
class Relay(Line):
    """A line, and a second phase that is handed the errors of the first, which are random."""

    @property
    def phases(self):
        second = Phase('second', ('other',), self._second, takes_over=True)
        return (Phase('first', ('line',), self._first), second)

    def _first(self, variables, batch, key):
        out = self._loss(variables, batch, key)
        return out._replace(handed=(batch['x'], out.metrics['error']))

    def _second(self, variables, batch, key, handed):
        x, error = handed
        metrics = {'same': jnp.all(x == batch['x'], axis=1), 'error': error}
        return LossOutput(error * variables['params']['other']['w'][0], metrics, variables['state'])


@pytest.mark.parametrize('unroll', [True, False])
@pytest.mark.parametrize('accumulate', [1, 4])
def test_a_phase_takes_over_what_was_computed_for_the_same_examples(accumulate, unroll):
    settings = experiment(Relay(noise=1.0), optax.sgd(0.1), accumulate=accumulate)
    batch = {**numbers(), 'mask': jnp.arange(8) < 5}
    state = jax.jit(functools.partial(init_state, settings))(batch)
    step = functools.partial(train_step, settings, unroll=unroll)
    after, metrics = jax.jit(step)(state, batch)
    assert metrics['second/same'] == 1
    np.testing.assert_allclose(metrics['second/error'], metrics['first/error'], rtol=1e-6)
    moved = after.variables['params']['other']['w'] - 1
    np.testing.assert_allclose(moved, [-0.1 * metrics['first/error'], 0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_reused_samples_leave_the_discriminators_turn_as_it_is(accumulate):
    """Its parameters, batch statistics and averages of logits, which the generator's turn keeps."""
    entry = BY_NAME['gan-dcgan-batch-norm']
    networks = {'discriminator': MLP((8,), shape=(), norm='batch'), 'lecam': 0.1}
    after = []
    for reuse in (False, True):
        model = dataclasses.replace(entry.model, reuse=reuse, **networks)
        settings = experiment(model, optax.sgd(0.1), accumulate=accumulate)
        before, state, _ = step_from_start(settings, entry.batch(8))
        after.append({k: v['discriminator'] for k, v in state.variables.items()})
        own = [each.variables['state']['generator'] for each in (before, state)]
        assert not np.allclose(*(jax.tree.leaves(each)[0] for each in own))
    assert set(after[0]['state']) == {'batch_stats', 'lecam'}
    assert_same(*after, 1e-6)


def test_masked_rows_count_for_nothing():
    mask = jnp.array([1, 1, 0, 1, 0, 0, 1, 1], bool)
    batch = {**numbers(), 'mask': mask}
    other = {'x': jnp.where(mask[:, None], batch['x'], 100.0), 'mask': mask}
    for accumulate in (1, 2):
        settings = experiment(accumulate=accumulate)
        before, after, metrics = step_from_start(settings, batch)
        want, loss = by_hand(before, batch, settings.optimizer, mask.astype(jnp.float32))
        np.testing.assert_allclose(line(after), want, rtol=1e-6)
        np.testing.assert_allclose(metrics['fit/loss'], loss, rtol=1e-6)
        _, changed, changed_metrics = step_from_start(settings, other)
        assert_same(line(after), line(changed))
        assert_same(metrics, changed_metrics)


def test_accumulation_gives_the_step_of_the_whole_batch():
    batch = {**numbers(), 'mask': jnp.arange(8) < 5}  # parts of different weight
    _, whole, metrics = step_from_start(experiment(), batch)
    for accumulate in (2, 4, 8):
        _, after, others = step_from_start(experiment(accumulate=accumulate), batch)
        np.testing.assert_allclose(line(after), line(whole), rtol=1e-6)
        assert metrics.keys() == others.keys()
        for name in metrics:
            np.testing.assert_allclose(others[name], metrics[name], rtol=1e-5)
        state = after.variables['state']['line']
        assert state['calls'] == 1  # all parts see the state before the update


def test_micro_batches_draw_different_noise():
    one = {'x': jnp.zeros((2, 3))}
    settings = experiment(Line(noise=1.0), optax.sgd(0.1), batch_size=2, accumulate=2)
    _, _, metrics = step_from_start(settings, one)
    variance = metrics['fit/loss'] - metrics['fit/error'] ** 2
    assert variance > 1e-3  # zero if both examples had the same noise


@pytest.mark.parametrize('limit', [0.01, 1e6])
def test_clipping_is_by_global_norm(limit):
    batch, optimizer = numbers(), optax.sgd(0.1)
    before, after, metrics = step_from_start(
        experiment(optimizer=optimizer, clip_norm=limit), batch
    )
    np.testing.assert_allclose(line(after), by_hand(before, batch, optimizer, clip=limit)[0], 1e-6)
    _, _, unclipped = step_from_start(experiment(optimizer=optimizer), batch)
    assert_same(metrics['fit/grad_norm'], unclipped['fit/grad_norm'])


def test_averages_follow_the_parameters():
    settings, batch = experiment(ema=(0.05, 0.999)), numbers()
    state = init_state(settings, batch)
    step = jax.jit(functools.partial(train_step, settings))
    want = [line(state), line(state)]
    for n in range(1, 4):
        state, _ = step(state, numbers(seed=n))
        for i, decay in enumerate(settings.ema):
            d = min(decay, (1 + n) / (10 + n))
            want[i] = d * want[i] + (1 - d) * line(state)
            np.testing.assert_allclose(state.ema[i]['line']['w'], want[i], rtol=1e-6)
    assert_same(state.averaged['params'], state.ema[0])


def test_the_decay_of_an_average_follows_its_schedule():
    half = half_life(lambda step: 100.0 * step, batch_size=8)
    settings, batch = experiment(ema=(Scheduled(half),)), numbers()
    state = init_state(settings, batch)
    step = jax.jit(functools.partial(train_step, settings))
    want = line(state)
    for n in range(3):
        state, _ = step(state, batch)
        d = min(0.5 ** (0.08 / n) if n else 0.0, (2 + n) / (11 + n))
        want = d * want + (1 - d) * line(state)
        np.testing.assert_allclose(state.ema[0]['line']['w'], want, rtol=1e-6)


@pytest.mark.full
def test_averaged_parameters_have_averaged_batch_statistics():
    """Samples of the averaged network are those with its own statistics, not with the latest."""
    model = GAN(MLP((16, 16), shape=(3,), norm='batch'), MLP((4,), shape=()), 2)
    settings = experiment(model, optax.sgd(0.5), batch_size=64, ema=(0.9,))
    step = jax.jit(functools.partial(train_step, settings))
    state = init_state(settings, numbers(64))
    want = state.variables
    for n in range(1, 31):
        state, _ = step(state, numbers(64, seed=n))
        d = min(0.9, (1 + n) / (10 + n))
        want = jax.tree.map(lambda a, b, d=d: d * a + (1 - d) * b, want, state.variables)
    for got, expected in zip(jax.tree.leaves(state.averaged), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert jnp.any(
        model.sample(state.averaged, jax.random.key(0), 8)
        != model.sample({**state.averaged, 'state': state.variables['state']}, jax.random.key(0), 8)
    )


def test_counts_of_data_are_not_averaged():
    entry = BY_NAME['naive-bayes']
    settings = experiment(entry.model, ema=(0.9,))
    step = jax.jit(functools.partial(train_step, settings))
    state = init_state(settings, entry.batch(8))
    for seed in range(3):
        state, _ = step(state, entry.batch(8, seed))
    assert_same(state.averaged['state'], state.variables['state'])


def test_repeats_take_their_own_slices_of_the_batch_and_cover_it():
    x = jnp.arange(24, dtype=jnp.float32).reshape(8, 3)
    settings = experiment(Line(repeats=4), optax.sgd(0.0), batch_size=2)
    assert settings.rows_per_step == 8
    _, after, metrics = step_from_start(settings, {'x': x})
    state = after.variables['state']['line']
    assert state['calls'] == 4 and state['seen'] == jnp.sum(x)
    w = jnp.array([0.3, -0.2])
    np.testing.assert_allclose(metrics['fit/error'], jnp.mean(x[:, :2] @ w - x[:, 2]), rtol=1e-5)


def test_repeats_update_one_after_the_other():
    batch, optimizer = numbers(4), optax.sgd(0.1)
    settings = experiment(Line(repeats=2), optimizer, batch_size=2)
    before, after, _ = step_from_start(settings, batch)
    first, _ = by_hand(before, {'x': batch['x'][0::2]}, optimizer)
    middle = dataclasses.replace(
        before, variables={'params': {'line': {'w': first}, 'other': None}, 'state': {}}
    )
    np.testing.assert_allclose(
        line(after), by_hand(middle, {'x': batch['x'][1::2]}, optimizer)[0], rtol=1e-5
    )


def _ramp(step):
    return 0.01 * (1.0 + step)


@pytest.mark.parametrize(
    'make',
    [
        lambda f: optax.sgd(f),
        lambda f: optax.adamw(f, weight_decay=f),
        lambda f: scheduled_adam(f, b1=f),
        lambda f: optax.chain(optax.scale_by_adam(), optax.masked(optax.sgd(f), {'line': True})),
        lambda f: optax.multi_transform({'line': optax.adam(f)}, {'line': 'line'}),
        lambda f: optax.MultiSteps(optax.adam(f), 2).gradient_transformation(),
    ],
    ids=['sgd', 'adamw', 'injected', 'masked', 'labelled', 'multi'],
)
def test_schedules_follow_the_step_whatever_the_updates(make):
    """As three updates a step with the schedule's value at that step; moments count updates."""
    settings = experiment(Line(repeats=3), make(_ramp), batch_size=2)
    step = jax.jit(functools.partial(train_step, settings))
    state = init_state(settings, numbers(6))
    params = {'line': state.variables['params']['line']}
    opt_state = settings.optimizer.init(params)
    for n in range(3):
        batch = numbers(6, seed=n)
        state, _ = step(state, batch)
        value = _ramp(n)
        for i in range(3):
            x = batch['x'][i::3]
            gradient = jax.grad(
                lambda p, x=x: jnp.mean((x[:, :2] @ p['line']['w'] - x[:, 2]) ** 2)
            )(params)
            constant = make(lambda _, value=value: value)
            changes, opt_state = constant.update(gradient, opt_state, params)
            params = optax.apply_updates(params, changes)
        np.testing.assert_allclose(line(state), params['line']['w'], rtol=1e-5)


def test_a_skipped_step_is_a_step_of_the_schedule():
    settings = experiment(optimizer=optax.sgd(_ramp), nonfinite='skip')
    step = jax.jit(functools.partial(train_step, settings))
    good = numbers()
    state, _ = step(init_state(settings, good), {'x': good['x'].at[3].set(jnp.nan)})
    after, _ = step(state, good)
    np.testing.assert_allclose(line(after), by_hand(state, good, optax.sgd(_ramp(1)))[0], rtol=1e-6)


@pytest.mark.parametrize('player', ['discriminator', 'generator'])
def test_each_player_changes_its_own_parameters_only(player):
    optimizer = {name: optax.sgd(0.0) for name in ('discriminator', 'generator')}
    optimizer[player] = optax.adam(0.1)
    networks = MLP((4,), shape=(3,)), MLP((4,), shape=())
    settings, batch = experiment(GAN(*networks, 2), optimizer), numbers()
    before, after, metrics = step_from_start(settings, batch)
    for group in optimizer:
        leaves = [jax.tree.leaves(s.variables['params'][group]) for s in (before, after)]
        changed = any(jnp.any(a != b) for a, b in zip(*leaves, strict=True))
        assert changed == (group == player)
    assert {name.split('/')[0] for name in metrics} == {'discriminator', 'generator'}


def test_a_step_that_is_not_finite_is_left_out():
    settings = experiment(nonfinite='skip', accumulate=2)
    step = jax.jit(functools.partial(train_step, settings))
    good = numbers()
    state, metrics = step(init_state(settings, good), good)
    assert metrics['fit/skipped'] == 0
    bad = {'x': good['x'].at[3].set(jnp.nan)}
    after, metrics = step(state, bad)
    assert metrics['fit/skipped'] == 1 and jnp.isnan(metrics['fit/loss'])
    assert_same(after.variables, state.variables)
    assert_same(after.opt_state, state.opt_state)
    assert after.step == state.step + 1
    again, metrics = step(after, good)
    assert metrics['fit/skipped'] == 0 and jnp.all(jnp.isfinite(line(again)))
    assert jnp.any(line(again) != line(after))


def test_skipping_changes_nothing_while_all_is_finite():
    batch = numbers()
    _, stop, _ = step_from_start(experiment(), batch)
    _, skip, _ = step_from_start(experiment(nonfinite='skip'), batch)
    assert_same(stop, skip)


def test_scheduled_beta_takes_its_value_at_the_step():
    """Through a config, and on the command line's path to the schedule's own fields."""
    beta = spec(
        Scheduled,
        schedule=spec(optax.linear_schedule, init_value=0.0, end_value=4.0, transition_steps=4),
    )
    networks = {
        'encoder': spec(MLP, features=(4,)),
        'decoder': spec(MLP, features=(4,), shape=tiny.SHAPE),
        'latent_dim': 2,
    }
    still = spec(optax.sgd, learning_rate=0.0)
    config = tiny.vae(model=spec(VAE, beta=beta, **networks), optimizer=still, accumulate=1)
    assert config.model.beta.schedule.end_value == 4.0
    settings = build(config)
    source = settings.dataset.source('train')
    batch = jax.tree.map(jnp.asarray, source[np.arange(16)])
    state = init_state(settings, batch)
    step = jax.jit(functools.partial(train_step, settings))
    for n in range(6):
        state, metrics = step(state, batch)
        weight = (metrics['vae/loss'] - metrics['vae/distortion']) / metrics['vae/rate']
        np.testing.assert_allclose(weight, min(n, 4), atol=1e-3)


def test_many_steps_in_a_call_give_the_state_of_as_many_calls():
    settings = experiment(
        Line(noise=0.1, repeats=2), batch_size=4, accumulate=2, ema=(0.9,), clip_norm=1.0
    )
    batches = [numbers(seed=n) for n in range(3)]
    start = jax.jit(functools.partial(init_state, settings))(batches[0])
    step = jax.jit(functools.partial(train_step, settings))
    state, separate = start, []
    for batch in batches:
        state, metrics = step(state, batch)
        separate.append(metrics)
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *batches)
    together, metrics = jax.jit(functools.partial(train_steps, settings))(start, stacked)
    assert together.step == 3
    for a, b in zip(
        jax.tree.leaves((state.variables, state.opt_state, state.ema)),
        jax.tree.leaves((together.variables, together.opt_state, together.ema)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for n in range(3):
        for name, value in separate[n].items():
            np.testing.assert_allclose(metrics[name][n], value, rtol=1e-6)


def test_random_keys_differ_between_steps_and_not_between_runs():
    settings, batch = experiment(Line(noise=1.0), optax.sgd(0.0)), numbers()
    step = jax.jit(functools.partial(train_step, settings))
    start = init_state(settings, batch)
    state, first = step(start, batch)
    _, second = step(state, batch)
    _, again = step(start, batch)
    assert first['fit/loss'] != second['fit/loss']
    assert first['fit/loss'] == again['fit/loss']
