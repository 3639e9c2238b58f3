"""What every family owes the training loop, tested on one tiny model of each kind."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.base import HasEncoder, HasFeatures, HasLogProb, LogProb
from genjax.models.tabular import UniformBox
from tests.models.probe import KEY, LABELS, MASK, conditions_of, probed, variables_of
from tests.models.zoo import BY_NAME, VARIANTS, ZOO, every

EVERY = every()
SAMPLED = every([entry for entry in ZOO if hasattr(entry.model, 'sample')])
UNCOUPLED = every([entry for entry in ZOO if not entry.coupled])
WITH_LOG_PROB = every([entry for entry in ZOO if isinstance(entry.model, HasLogProb)])
WITH_FEATURES = every(
    [entry for entry in ZOO if isinstance(entry.model, HasFeatures)],
    few=(
        'classifier',
        'gan-dcgan-batch-norm',
        'gpt-rotary-scan',
        'frames-made',
        'pixelcnn',
        'flow-matching-optimal',
    ),
)
WITH_CODES = every([entry for entry in ZOO if isinstance(entry.model, HasEncoder)])


def test_what_a_variant_is_trained_by_is_in_the_normal_tier():
    def code_of(name):
        """The classes that the losses and phases of the model are from."""
        kinds = type(BY_NAME[name].model).__mro__
        return [kind for kind in kinds if any('loss' in x or x == 'phases' for x in vars(kind))]

    for name, other in VARIANTS.items():
        assert other not in VARIANTS and code_of(name) == code_of(other)


@EVERY
def test_models_are_hashable_and_equal_by_value(entry):
    assert hash(entry.model) == hash(dataclasses.replace(entry.model))
    assert entry.model == dataclasses.replace(entry.model)


@EVERY
def test_phases_train_each_group_once(entry):
    variables = variables_of(entry)
    trained = [group for phase in entry.model.phases for group in phase.trains]
    given = getattr(entry.model, 'given_groups', ())
    assert sorted([*trained, *given]) == sorted(variables['params'])
    assert set(variables['state']) <= set(variables['params'])
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


@EVERY
def test_loss_is_per_example_finite_and_keeps_the_structure_of_the_state(entry):
    state = variables_of(entry)['state']
    for out in probed(entry)['loss'].values():
        assert out.values.shape == (8,)
        assert out.values.dtype == jnp.float32
        assert all(value.shape in ((), (8,)) for value in out.metrics.values())
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(out[:3]))
        assert jax.tree.structure(out.state) == jax.tree.structure(state)
        assert jax.tree.map(np.shape, out.state) == jax.tree.map(np.shape, state)


@EVERY
def test_each_phase_updates_the_state_of_what_it_trains_only(entry):
    before, outs = variables_of(entry)['state'], probed(entry)['loss']
    for phase in entry.model.phases:
        changed = jax.tree.map(lambda a, b: np.any(a != b), before, outs[phase.name].state)
        for group, tree in changed.items():
            constant, rest = [], []
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                (constant if "'constants'" in str(path) else rest).append(leaf)
            assert not any(constant)
            assert not rest or any(rest) == (group in phase.trains)


@EVERY
def test_gradients_reach_every_trained_parameter(entry):
    for phase in entry.model.phases:
        gradient = probed(entry)['gradient'][phase.name]
        for group in phase.trains:
            for path, leaf in jax.tree_util.tree_leaves_with_path(gradient[group]):
                assert np.all(np.isfinite(leaf)), path
        assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient)) or entry.counted


@UNCOUPLED
def test_loss_of_an_example_does_not_depend_on_its_batch_mates(entry):
    for phase in entry.model.phases:
        a, b = (probed(entry, case)['loss'][phase.name].values for case in ('plain', 'others'))
        np.testing.assert_array_equal(a[0], b[0])
        assert np.any(a[1:] != b[1:]) or not _loss_reads_data(entry, phase)


def _loss_reads_data(entry, phase):
    """An unconditional generator never sees the batch; a new prior of codes likes all the same."""
    if phase.name == 'generator':
        return bool(conditions_of(entry))
    return phase.name != 'prior'


@UNCOUPLED
def test_what_is_masked_changes_neither_gradient_nor_state(entry):
    for phase in entry.model.phases:
        found = [probed(entry, case) for case in ('masked', 'masked others')]
        (a, b), gradients = (
            [each[name][phase.name] for each in found] for name in ('loss', 'gradient')
        )
        np.testing.assert_array_equal(a.values[MASK], b.values[MASK])
        jax.tree.map(
            np.testing.assert_array_equal, (a.state, gradients[0]), (b.state, gradients[1])
        )


@SAMPLED
def test_samples_have_the_shape_of_the_data_and_follow_the_key(entry):
    x = probed(entry)['sample']
    assert x.shape == (5, *entry.model.event_shape)
    assert x.dtype == entry.batch()['x'].dtype
    np.testing.assert_array_equal(x, probed(entry, 'others')['sample'])
    assert np.any(x != probed(entry, 'masked')['sample'])
    given = {name: a for name, a in conditions_of(entry).items() if name == 'context'}
    three = jax.eval_shape(lambda v: entry.model.sample(v, KEY, 3, **given), variables_of(entry))
    assert three.shape == (3, *entry.model.event_shape)


@SAMPLED
def test_conditions_in_sampling(entry):
    given = conditions_of(entry)
    for name, other in {'label': LABELS, 'context': np.ones((3, 2), np.float32)}.items():
        if name not in given:
            with pytest.raises(UserError, match=f'{name}s.*: leave the {name} out'):
                entry.model.sample(variables_of(entry), KEY, 3, **{name: other})
    if 'context' in given:
        with pytest.raises(UserError, match='needs a context'):
            entry.model.sample(variables_of(entry), KEY, 3)
        with pytest.raises(UserError, match=r'context_shape=.*: contexts are'):
            entry.model.sample(variables_of(entry), KEY, 3, context=np.ones((3, 7)))
    if given:
        a, b = (probed(entry, case)['conditional'] for case in ('plain', 'others'))
        np.testing.assert_array_equal(a[0], b[0])
        assert np.any(a[1] != b[1])


@WITH_LOG_PROB
def test_log_prob_is_per_example_and_says_its_kind(entry):
    result = probed(entry)['log_prob']
    assert isinstance(result, LogProb)
    assert result.kind in ('exact', 'lower_bound', 'estimate')
    assert result.value.shape == (8,)
    assert not np.any(np.isnan(result.value))
    assert np.all(np.isfinite(result.value)) or isinstance(entry.model, UniformBox)
    if not entry.coupled:
        other = probed(entry, 'others')['log_prob']
        np.testing.assert_array_equal(result.value[0], other.value[0])


@every([BY_NAME[name] for name in ('vae', 'vae-conv-logistic', 'vae-gaussian')])
def test_bf16_log_prob_is_close(entry):
    variables, batch = variables_of(entry), entry.batch()
    low = dataclasses.replace(
        entry.model,
        encoder=entry.model.encoder.clone(dtype='bfloat16'),
        decoder=entry.model.decoder.clone(dtype='bfloat16'),
    )
    want = probed(entry)['log_prob'].value
    got = jax.jit(low.log_prob)(variables, batch['x'], KEY).value
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=0.01)


@WITH_CODES
def test_encode_and_decode(entry):
    model, variables, batch = entry.model, variables_of(entry), entry.batch()
    x, given = batch['x'], {name: batch[name] for name in batch if name == 'context'}
    assert isinstance(model, HasFeatures)
    z = jax.eval_shape(lambda: model.encode(variables, x, KEY, **given))
    assert z.shape[0] == 8
    assert jax.eval_shape(model.decode, variables, z, KEY).shape == x.shape


@WITH_FEATURES
def test_features_are_a_vector_of_each_example(entry):
    batch = entry.batch()
    x, given = batch['x'], {name: batch[name] for name in batch if name == 'context'}
    features = jax.eval_shape(lambda v: entry.model.features(v, x, **given), variables_of(entry))
    assert features.shape[0] == len(x) and features.ndim == 2
    assert features.dtype == jnp.float32
