"""Models that count, against numbers worked out by hand and by NumPy."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.data import Avatars, WorldPoints, avatars, eval_batches
from genjax.errors import UserError
from genjax.models import JointTable, NaiveBayes, PixelNaiveBayes, UniformBox
from genjax.training import Experiment
from genjax.training.state import init_state
from genjax.training.step import train_step

KEY = jax.random.key(0)
PEOPLE = avatars.combinations()


def table():
    """The 50 people of the table."""
    return Avatars('table').source('train')[np.arange(50)]['x']


def fit(model, x, mask=None):
    """Variables after one look at x."""
    batch = {'x': jnp.asarray(x)} if mask is None else {'x': jnp.asarray(x), 'mask': mask}
    variables = model.init(KEY, batch)
    (phase,) = model.phases
    return {**variables, 'state': jax.jit(phase.loss)(variables, batch, KEY).state}


@functools.partial(jax.jit, static_argnums=0)
def log_prob(model, variables, x):
    """Nats, compiled: an operation at a time takes longer."""
    return model.log_prob(variables, x, KEY).value


@functools.partial(jax.jit, static_argnums=(0, 2))
def sample(model, variables, num):
    return model.sample(variables, KEY, num)


def probabilities(model, variables, x=PEOPLE):
    return np.exp(np.asarray(log_prob(model, variables, np.array(x)), np.float64))


def test_laplace_gives_3_of_4082_to_a_pair_and_1_to_the_unseen():
    """SYSTEMS A2: (n + 1) / (50 + 4032)."""
    model = JointTable(avatars.NUM_VALUES, smoothing=1.0)
    people, number = np.unique(table(), axis=0, return_counts=True)
    assert sorted(set(number)) == [1, 2], 'some combinations are there twice, none more often'
    variables = fit(model, table())
    p = probabilities(model, variables)
    seen = dict(zip(map(tuple, people), number, strict=True))
    expected = np.array([seen.get(tuple(person), 0) + 1 for person in PEOPLE]) / 4082
    np.testing.assert_allclose(p, expected, rtol=2e-6)
    assert np.isclose(p.max(), 3 / 4082) and np.isclose(p.min(), 1 / 4082)
    assert p.sum() == pytest.approx(1, abs=1e-6)
    assert model.num_free_parameters == 4031


def test_a_table_without_smoothing_gives_nothing_to_the_unseen():
    model = JointTable(avatars.NUM_VALUES)
    p = probabilities(model, fit(model, table()))
    assert p.sum() == pytest.approx(1, abs=1e-6)
    assert np.sum(p > 0) == len(np.unique(table(), axis=0))
    assert np.isclose(p.max(), 2 / 50)


def test_naive_bayes_has_23_parameters_and_gives_mass_to_the_unseen():
    """SYSTEMS A3."""
    model = NaiveBayes(avatars.NUM_VALUES)
    assert model.num_free_parameters == 23 == sum(avatars.NUM_VALUES) - 5
    p = probabilities(model, fit(model, table()))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    shares = [np.bincount(c, minlength=v) / 50 for c, v in zip(table().T, avatars.NUM_VALUES)]  # noqa: B905
    expected = np.prod([share[column] for share, column in zip(shares, PEOPLE.T)], axis=0)  # noqa: B905
    np.testing.assert_allclose(p, expected, rtol=1e-5)
    seen = set(map(tuple, table()))
    unseen = np.array([tuple(person) not in seen for person in PEOPLE])
    assert p[unseen].sum() > 0.5 and (p[unseen] > 0).all()


@pytest.mark.parametrize('smoothing', [0.0, 0.5, 1.0])
def test_smoothing_of_naive_bayes_by_hand(smoothing):
    model = NaiveBayes((2, 3), smoothing)
    variables = fit(model, [[0, 2], [0, 2], [1, 0]])
    p = probabilities(model, variables, [[0, 2], [0, 1], [1, 0]])
    s = smoothing
    first, second = (2 + s) / (3 + 2 * s), (2 + s) / (3 + 3 * s)
    expected = [first * second, first * s / (3 + 3 * s), (1 - first) * (1 + s) / (3 + 3 * s)]
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.parametrize('model', [JointTable((3, 2, 4)), NaiveBayes((3, 2, 4))])
def test_what_is_no_value_has_no_probability_and_is_not_counted(model):
    x = [[0, 0, 0], [2, 1, 3], [3, 0, 0], [0, -1, 0], [0, 0, 4]]
    variables = fit(model, x)
    assert np.sum(variables['state']['counts']) == 2 * (1 if isinstance(model, JointTable) else 3)
    np.testing.assert_array_equal(probabilities(model, variables, x[2:]), 0)


def test_counts_of_an_epoch_are_bincounts_whatever_the_padding():
    source = Avatars('table').source('validation')
    model = NaiveBayes(avatars.NUM_VALUES)
    experiment = Experiment(
        dataset=Avatars('table'), model=model, optimizer=optax.identity(), steps=1, batch_size=300
    )
    batches = list(eval_batches(source, batch_size=300))
    assert not batches[-1]['mask'].all()
    state = init_state(experiment, batches[0])
    step = jax.jit(lambda state, batch: train_step(experiment, state, batch))
    for batch in batches:
        state, metrics = step(state, batch)
    assert all(np.isfinite(value) for value in metrics.values())
    counts = np.asarray(state.variables['state']['counts'])
    x = source[np.arange(1000)]['x']
    for row, column, values in zip(counts, x.T, avatars.NUM_VALUES, strict=True):
        np.testing.assert_array_equal(row[:values], np.bincount(column, minlength=values))
        np.testing.assert_array_equal(row[values:], 0)


def test_micro_batches_are_all_counted():
    model = JointTable(avatars.NUM_VALUES)
    batch = {'x': jnp.asarray(table())}
    counts = []
    for accumulate in (1, 5):
        experiment = Experiment(
            dataset=Avatars('table'),
            model=model,
            optimizer=optax.adam(1e-3),
            steps=1,
            batch_size=50,
            accumulate=accumulate,
            ema=(0.9,),
        )
        step = jax.jit(functools.partial(train_step, experiment))
        state, _ = step(init_state(experiment, batch), batch)
        counts.append(state.variables['state']['counts'])
    np.testing.assert_array_equal(*counts)
    flat = np.ravel_multi_index(table().T, avatars.NUM_VALUES)
    np.testing.assert_array_equal(counts[0][0], np.bincount(flat, minlength=4032))


def test_the_loss_is_the_code_length_given_earlier_batches():
    model = NaiveBayes((2,), smoothing=0.5)
    variables = model.init(KEY, {})
    (phase,), total = model.phases, 0.0
    loss = jax.jit(phase.loss)
    for bit in (0, 0, 1, 0):
        out = loss(variables, {'x': jnp.array([[bit]])}, KEY)
        variables, total = {**variables, 'state': out.state}, total + float(out.values[0])
    # The Krichevsky-Trofimov estimate of 0010: 1/2, then 3/4, 1/6, 5/8.
    assert total == pytest.approx(-math.log(1 / 2 * 3 / 4 * 1 / 6 * 5 / 8))


@pytest.mark.parametrize(
    'model', [JointTable((2, 3)), NaiveBayes((2, 3)), NaiveBayes((2, 3), smoothing=0.7)]
)
def test_samples_follow_the_probabilities(model):
    variables = fit(model, [[0, 0], [0, 0], [1, 2], [1, 0], [0, 2]])
    x = np.asarray(sample(model, variables, 20_000)).astype(int)
    cells = np.indices((2, 3)).reshape(2, -1).T
    p = probabilities(model, variables, cells)
    found = np.bincount(np.ravel_multi_index(x.T, (2, 3)), minlength=6) / len(x)
    np.testing.assert_allclose(found, p, atol=0.014)  # 4 standard errors
    assert (found[p == 0] == 0).all()


def test_pixels_are_counted_each_on_its_own():
    model = PixelNaiveBayes((4, 3, 2), levels=5, smoothing=1.0)
    x = np.random.RandomState(0).randint(5, size=(40, 4, 3, 2)).astype(np.float32)
    variables = fit(model, x)
    counts = np.stack([np.sum(x == level, axis=0) for level in range(5)], axis=-1)
    np.testing.assert_array_equal(variables['state']['counts'], counts.reshape(-1, 5))
    one_hot = np.eye(5)[x[:3].astype(int)]
    expected = np.sum(one_hot * np.log((counts + 1) / 45), axis=(1, 2, 3, 4))
    np.testing.assert_allclose(log_prob(model, variables, x[:3]), expected, rtol=1e-5)
    assert model.num_free_parameters == 24 * 4
    assert sample(model, variables, 7).shape == (7, 4, 3, 2)


def test_the_box_is_the_smallest_around_what_counts():
    x = np.random.RandomState(0).uniform(-3, 5, (64, 2)).astype(np.float32)
    mask = jnp.arange(64) < 40
    model = UniformBox((2,))
    box = fit(model, x, mask)['state']['box']
    np.testing.assert_array_equal(box['low'], x[:40].min(axis=0))
    np.testing.assert_array_equal(box['high'], x[:40].max(axis=0))


def test_nll_in_the_box_is_the_logarithm_of_its_area():
    model, x = UniformBox((2,)), WorldPoints().source('train')[np.arange(10_000)]['x']
    variables = fit(model, x)
    sides = x.max(axis=0).astype(np.float64) - x.min(axis=0)
    assert model.log_prob(variables, x, KEY).kind == 'exact'
    np.testing.assert_allclose(log_prob(model, variables, x), -np.log(sides.prod()), rtol=1e-5)
    assert np.isneginf(log_prob(model, variables, x + 9)).all()
    samples = np.asarray(sample(model, variables, 10_000))
    assert np.isfinite(log_prob(model, variables, samples)).all()
    centre = x.min(axis=0) + sides / 2
    np.testing.assert_allclose(samples.mean(axis=0), centre, atol=0.05)
    assert model.num_free_parameters == 4


def test_batches_widen_the_box_together():
    model, x = UniformBox((2, 3)), np.random.RandomState(0).normal(size=(30, 2, 3))
    whole = fit(model, x)['state']
    variables = model.init(KEY, {'x': x})
    loss = jax.jit(model.phases[0].loss)
    for part in np.split(x, 3):
        out = loss(variables, {'x': jnp.asarray(part)}, KEY)
        variables = {**variables, 'state': out.state}
        assert np.isfinite(out.values).all()
    jax.tree.map(np.testing.assert_array_equal, variables['state'], whole)


def test_mistakes_are_refused():
    with pytest.raises(UserError, match='smoothing must be at least 0'):
        NaiveBayes((2, 3), smoothing=-1.0)
    with pytest.raises(UserError, match='at least one value'):
        NaiveBayes((2, 0))
    with pytest.raises(UserError, match='would be a table of'):
        JointTable((1000, 1000, 1000))
    with pytest.raises(UserError, match='at least one value'):
        dataclasses.replace(PixelNaiveBayes((8, 8, 1)), levels=0)
