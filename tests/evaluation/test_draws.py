"""The labels of samples that are compared with a split, and examples that stand for one."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Gaussians
from genjax.errors import UserError
from genjax.evaluation import (
    AIS,
    C2ST,
    MMD,
    CriticW1,
    EvaluationData,
    Modes,
    Outliers,
    PerceptualPathLength,
    Support,
)
from genjax.evaluation.draws import draw_like, random_batches, sampled_labels

KEY = jax.random.key(0)
PLACES = np.array([[1.5, 0.0], [-1.5, 0.0]], np.float32)


@dataclass(frozen=True)
class TwoClasses:
    """A perfect conditional model of points about two places."""

    num_classes: int = 2
    latent_dim: int = 2

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, 2], of even classes without labels."""
        label_key, key = jax.random.split(key)
        label = jax.random.randint(label_key, (num,), 0, 2) if label is None else label
        return jnp.asarray(PLACES)[label] + 0.1 * jax.random.normal(key, (num, 2))

    def discriminate(self, variables, x):
        """A critic that only needs to exist."""
        return x[:, 0]

    def to_latent(self, variables, z, label):
        """Codes, twice as large in class 1."""
        return (1 + label[:, None]) * z

    def synthesise(self, variables, w):
        """The latents themselves."""
        return w

    def log_prob(self, variables, x, key):
        """Not asked for here."""


def split(labels, dataset=None):
    labels = np.asarray(labels, np.int32)
    x = np.asarray(TwoClasses().sample({}, KEY, len(labels), label=jnp.maximum(labels, 0)))

    def batches(size):
        for start in range(0, len(x), size):
            rows = np.arange(start, start + size)
            place = np.where(rows < len(x), rows, 0)
            batch = {'x': x[place], 'label': labels[place], 'mask': rows < len(x)}
            yield jax.device_put(batch)

    return EvaluationData(dataset, 'test', batches, Chain(()))


# Sorted by class, nine tenths of one: as a split may be.
UNEVEN = np.sort(np.arange(1000) % 10 == 9)


def test_a_perfect_conditional_model_of_uneven_data_is_found_perfect():
    data, model = split(UNEVEN), TwoClasses()
    figures = C2ST(1000)(model, {}, data, KEY)
    assert figures['accuracy'] == pytest.approx(0.5, abs=0.04)
    assert figures['protocol'].endswith('1000 of test and 1000 samples, labels as in test')
    figures = MMD(1000)(model, {}, data, KEY)
    assert abs(figures['mmd2']) < 0.005
    assert figures['protocol'].endswith('labels as in test')
    figures = CriticW1(1000)(model, {}, data, KEY)
    assert figures['exact'] < 0.2
    assert figures['protocol'].endswith('labels as in test')


def test_labels_follow_the_split_and_the_key():
    model = TwoClasses()
    first, again = (sampled_labels(model, split(UNEVEN), 4000, KEY, 128) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first) == pytest.approx(0.1, abs=0.02)
    other = sampled_labels(model, split(UNEVEN), 4000, jax.random.key(1), 128)
    assert np.any(first != other)
    # Unlabelled examples tell nothing of the classes.
    partly = np.where(np.arange(100) < 90, -1, 1)
    assert np.all(sampled_labels(model, split(partly), 50, KEY, 32) == 1)


@pytest.mark.parametrize('evaluator', [Modes(500), Outliers(500, num_reference=500), Support(500)])
def test_every_evaluator_of_samples_takes_the_labels_of_the_split(evaluator, monkeypatch):
    seen = []

    def sample(self, variables, key, num, *, label=None):
        jax.debug.callback(lambda label: seen.append(np.asarray(label)), label)
        return jnp.asarray(PLACES)[label]

    model = type('Recorded', (TwoClasses,), {'sample': sample})()
    if isinstance(evaluator, Support):
        monkeypatch.setattr('genjax.evaluation.support._covered', lambda *a: (a[3][:, 0] > 0, a[4]))
    figures = evaluator(model, {}, split(UNEVEN, Gaussians()), KEY)
    jax.effects_barrier()
    assert np.mean(np.concatenate(seen)) == pytest.approx(0.1, abs=0.05)
    assert figures['protocol'].endswith('labels as in test')


def test_path_lengths_are_of_the_labels_of_the_split():
    one, two, mixed = (
        PerceptualPathLength(400)(TwoClasses(), {}, split(labels), KEY)
        for labels in (np.zeros(50), np.ones(50), UNEVEN)
    )
    assert two['w'] == pytest.approx(4 * one['w'], rel=1e-3)
    assert one['w'] < mixed['w'] < 1.6 * one['w']
    assert mixed['protocol'].endswith('labels as in test')


def test_splits_without_the_labels_of_the_model_are_refused():
    batches = [{'x': jnp.zeros((5, 2)), 'mask': jnp.ones(5, bool)}]
    plain = EvaluationData(None, 'test', lambda size: iter(batches), Chain(()))
    with pytest.raises(UserError, match='labels of the test split, which has none'):
        draw_like(plain, TwoClasses(), {}, 5, KEY, 5)
    with pytest.raises(UserError, match=r'must be 0\.\.1, the classes of the TwoClasses'):
        draw_like(split([0, 1, 2]), TwoClasses(), {}, 5, KEY, 5)


def test_a_few_batches_of_a_split_are_chosen_at_random():
    batches = list(random_batches(split(UNEVEN), 250, 100))
    assert [int(batch['mask'].sum()) for batch in batches] == [100, 100, 50]
    labels = np.concatenate([batch['label'][batch['mask']] for batch in batches])
    assert np.mean(labels) == pytest.approx(0.1, abs=0.06)
    x = np.concatenate([batch['x'][batch['mask']] for batch in batches])
    assert len(np.unique(x, axis=0)) == 250
    assert sum(int(b['mask'].sum()) for b in random_batches(split(UNEVEN), 5000, 300)) == 1000
    with pytest.raises(UserError, match=r'AIS\.num_batches must be at least 1'):
        AIS(num_batches=0)
