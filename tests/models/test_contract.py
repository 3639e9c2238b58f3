"""What every family owes the training loop, tested on one tiny model of each kind."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.base import HasEncoder, HasFeatures, HasLogProb, LogProb
from genjax.models.tabular import UniformBox
from tests.models.zoo import BY_NAME, ZOO
from tests.training.zoo_programs import forget, start

pytestmark = pytest.mark.slow

KEY = jax.random.key(1)
EVERY = pytest.mark.parametrize('entry', ZOO, ids=lambda entry: entry.name)
SAMPLED = pytest.mark.parametrize(
    'entry',
    [entry for entry in ZOO if hasattr(entry.model, 'sample')],
    ids=lambda entry: entry.name,
)
UNCOUPLED = pytest.mark.parametrize(
    'entry', [entry for entry in ZOO if not entry.coupled], ids=lambda entry: entry.name
)


@pytest.fixture(scope='module', autouse=True)
def _forget():
    yield
    forget()


@functools.cache
def _variables(entry):
    # The program that the tests of training run too: it is compiled once.
    variables = jax.device_get(start(entry).variables)
    # Layers that start at zero would hide what is before them.
    leaves, structure = jax.tree.flatten(variables['params'])
    keys = jax.random.split(KEY, len(leaves))
    moved = [a + 0.02 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    variables = {**variables, 'params': jax.tree.unflatten(structure, moved)}
    if entry.counted:
        (phase,) = entry.model.phases
        state = jax.jit(phase.loss)(variables, entry.batch(16, seed=1), KEY).state
        variables = {**variables, 'state': state}
    return variables


@functools.cache
def _loss(entry, phase_name):
    """Compiled once: (variables, batch) -> the phase's LossOutput and the gradient of its sum."""
    (phase,) = (phase for phase in entry.model.phases if phase.name == phase_name)

    def total(params, variables, batch):
        out = phase.loss({**variables, 'params': params}, batch, KEY)
        return jnp.sum(out.values), out

    def loss_and_gradient(variables, batch):
        gradient, out = jax.grad(total, has_aux=True)(variables['params'], variables, batch)
        return out, gradient

    return jax.jit(loss_and_gradient)


def _others_changed(batch, row=0):
    """The same example at `row`, all others different."""
    x = (batch['x'][::-1] * 0.5).astype(batch['x'].dtype)
    other = {'x': x, 'label': (batch['label'] + 1) % 3, 'mask': batch['mask']}
    return {name: other[name].at[row].set(batch[name][row]) for name in batch}


@EVERY
def test_models_are_hashable_and_equal_by_value(entry):
    assert hash(entry.model) == hash(dataclasses.replace(entry.model))
    assert entry.model == dataclasses.replace(entry.model)


@EVERY
def test_phases_train_each_group_once(entry):
    variables = _variables(entry)
    trained = [group for phase in entry.model.phases for group in phase.trains]
    assert sorted(trained) == sorted(variables['params'])
    assert set(variables['state']) <= set(variables['params'])
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


@EVERY
def test_loss_is_per_example_finite_and_keeps_the_structure_of_the_state(entry):
    variables, batch = _variables(entry), entry.batch()
    for phase in entry.model.phases:
        out, _ = _loss(entry, phase.name)(variables, batch)
        assert out.values.shape == (8,)
        assert out.values.dtype == jnp.float32
        assert all(value.shape in ((), (8,)) for value in out.metrics.values())
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(out))
        assert jax.tree.structure(out.state) == jax.tree.structure(variables['state'])
        jax.tree.map(
            np.testing.assert_array_equal, *(_shapes(out.state), _shapes(variables['state']))
        )


def _shapes(tree):
    return jax.tree.map(lambda leaf: np.array(leaf.shape), tree)


@EVERY
def test_each_phase_updates_the_state_of_what_it_trains_only(entry):
    variables, batch = _variables(entry), entry.batch()
    for phase in entry.model.phases:
        state = _loss(entry, phase.name)(variables, batch)[0].state
        changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), variables['state'], state)
        for group, tree in changed.items():
            constant, rest = [], []
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                (constant if "'constants'" in str(path) else rest).append(leaf)
            assert not any(constant)
            assert not rest or any(rest) == (group in phase.trains)


@EVERY
def test_gradients_reach_every_trained_parameter(entry):
    variables, batch = _variables(entry), entry.batch()
    for phase in entry.model.phases:
        _, gradient = _loss(entry, phase.name)(variables, batch)
        for group in phase.trains:
            for path, leaf in jax.tree_util.tree_leaves_with_path(gradient[group]):
                assert jnp.all(jnp.isfinite(leaf)), path
        assert any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient)) or entry.counted


@UNCOUPLED
def test_loss_of_an_example_does_not_depend_on_its_batch_mates(entry):
    variables, batch = _variables(entry), entry.batch()
    for phase in entry.model.phases:
        loss = _loss(entry, phase.name)
        (a, _), (b, _) = loss(variables, batch), loss(variables, _others_changed(batch))
        np.testing.assert_array_equal(a.values[0], b.values[0])
        assert jnp.any(a.values[1:] != b.values[1:]) or not _loss_reads_data(entry, phase)


def _loss_reads_data(entry, phase):
    """A generator without classes never sees the batch; a new prior of codes likes all the same."""
    if phase.name == 'generator':
        return entry.model.num_classes is not None
    return phase.name != 'prior'


@SAMPLED
def test_samples_have_the_shape_of_the_data_and_follow_the_key(entry):
    variables = _variables(entry)
    sample = jax.jit(entry.model.sample, static_argnums=2)
    x = sample(variables, KEY, 5)
    assert x.shape == (5, *entry.model.event_shape)
    assert x.dtype == entry.batch()['x'].dtype
    np.testing.assert_array_equal(x, sample(variables, KEY, 5))
    assert jnp.any(x != sample(variables, jax.random.key(2), 5))
    assert sample(variables, KEY, 3).shape[0] == 3


@SAMPLED
def test_labels_in_sampling(entry):
    variables, label = _variables(entry), jnp.array([0, 1, 2], jnp.int32)
    if getattr(entry.model, 'num_classes', None) is None:
        with pytest.raises(UserError, match='label'):
            entry.model.sample(variables, KEY, 3, label=label)
        return
    sample = jax.jit(lambda label: entry.model.sample(variables, KEY, 3, label=label))
    a, b = sample(label), sample(label.at[1:].set(0))
    np.testing.assert_array_equal(a[0], b[0])
    assert jnp.any(a[1] != b[1])


WITH_LOG_PROB = pytest.mark.parametrize(
    'entry',
    [entry for entry in ZOO if isinstance(entry.model, HasLogProb)],
    ids=lambda entry: entry.name,
)


@WITH_LOG_PROB
def test_log_prob_is_per_example_and_says_its_kind(entry):
    variables, batch = _variables(entry), entry.batch()
    log_prob = jax.jit(entry.model.log_prob)
    result = log_prob(variables, batch['x'], KEY)
    assert isinstance(result, LogProb)
    assert result.kind in ('exact', 'lower_bound', 'estimate')
    assert result.value.shape == (8,)
    assert not jnp.any(jnp.isnan(result.value))
    assert jnp.all(jnp.isfinite(result.value)) or isinstance(entry.model, UniformBox)
    if not entry.coupled:
        other = log_prob(variables, _others_changed(batch)['x'], KEY)
        np.testing.assert_array_equal(result.value[0], other.value[0])


@pytest.mark.parametrize('name', ['vae', 'vae-conv-logistic', 'vae-gaussian'])
def test_bf16_log_prob_is_close(name):
    entry = BY_NAME[name]
    variables, batch = _variables(entry), entry.batch()
    low = dataclasses.replace(
        entry.model,
        encoder=entry.model.encoder.clone(dtype='bfloat16'),
        decoder=entry.model.decoder.clone(dtype='bfloat16'),
    )
    want = jax.jit(entry.model.log_prob)(variables, batch['x'], KEY).value
    got = jax.jit(low.log_prob)(variables, batch['x'], KEY).value
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=0.01)


@pytest.mark.parametrize(
    'entry',
    [entry for entry in ZOO if isinstance(entry.model, HasEncoder)],
    ids=lambda entry: entry.name,
)
def test_encode_decode_and_features(entry):
    model, variables, x = entry.model, _variables(entry), entry.batch()['x']
    z = jax.eval_shape(model.encode, variables, x, KEY)
    assert z.shape[0] == 8
    assert jax.eval_shape(model.decode, variables, z, KEY).shape == x.shape
    assert isinstance(model, HasFeatures)
    features = jax.eval_shape(model.features, variables, x)
    assert features.shape[0] == 8 and features.ndim == 2
