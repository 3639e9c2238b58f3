import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import data
from genjax.data.edm_augmentation import NUM_LABELS
from genjax.errors import UserError
from tests.training.tiny import Blots

pytestmark = pytest.mark.slow

SIZE = 24


def pattern(x, y):
    """A smooth image of places from the centre, mirrored at its borders like the images."""
    x, y = ((np.abs((p + SIZE / 2) % (2 * SIZE) - SIZE)) for p in (x, y))
    return 128 + 60 * np.cos(2 * np.pi * x / SIZE) + 50 * np.cos(np.pi * y / SIZE)


def places():
    p = np.arange(SIZE) + 0.5 - SIZE / 2
    return np.meshgrid(p, p)


def batch(num, dtype=jnp.float32):
    x = jnp.asarray(np.tile(pattern(*places())[..., None], (num, 1, 1, 1)), dtype)
    return {'x': x, 'context': jnp.ones((num, NUM_LABELS + 2))}


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def expected(labels, sign=1):
    """What the labels of an image say was done to it, step by step, from places back to places.
    They leave open the `sign` of the stretch: (n, r) and (-n, r + pi) have the same.
    """
    across, down, scale, cosine, sine, first, second, right, below = labels
    p = np.stack([place.ravel() for place in places()])
    p = p - SIZE / 8 * np.array([[right], [below]])  # undo the shift
    stretch, axis = sign * np.hypot(first, second), np.arctan2(sign * second, sign * first)
    factor = 2 ** (0.2 * stretch)
    p = rotation(-axis) @ np.diag([1 / factor, factor]) @ rotation(axis) @ p
    p = rotation(np.arctan2(sine, cosine + 1)) @ p
    p = p / 2 ** (0.2 * scale)
    p = p * np.array([[1 - 2 * across], [1 - 2 * down]])
    return pattern(*p).reshape(SIZE, SIZE)


def test_the_labels_say_what_was_done_to_the_image():
    out = data.EDMAugment(0.6)(batch(64), jax.random.key(0))
    labels = np.asarray(out['context'])[:, -NUM_LABELS:].astype(float)
    assert np.all(np.asarray(out['context'])[:, :2] == 1)
    for image, label in zip(np.asarray(out['x'])[..., 0], labels, strict=True):
        difference = min((np.abs(image - expected(label, sign)) for sign in (1, -1)), key=np.mean)
        assert difference.mean() < 0.5 and np.quantile(difference, 0.98) < 1.0, label
    assert np.all(np.abs(labels).max(axis=0) > 0)


def test_each_change_occurs_at_its_rate_and_0_is_the_image_as_it_is():
    num = 1500
    out = data.EDMAugment(0.12)(batch(num, jnp.uint8), jax.random.key(1))
    labels = np.asarray(out['context'])[:, -NUM_LABELS:]
    assert out['x'].dtype == jnp.uint8
    rates = np.mean(labels != 0, axis=0)
    wanted = np.array([0.5, 0.06, 0.12, 0.12, 0.12, 0.12, 0.06, 0.12, 0.12])
    assert np.all(np.abs(rates - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / num)), rates
    same = np.all(labels == 0, axis=1)
    assert abs(same.mean() - 0.5 * 0.94 * 0.88**4) < 0.06
    np.testing.assert_array_equal(out['x'][same], batch(1, jnp.uint8)['x'].repeat(same.sum(), 0))
    drawn = labels[labels[:, 2] != 0, 2]
    assert abs(drawn.std() - 1) < 0.25 and abs(drawn.mean()) < 0.3


def test_an_example_does_not_depend_on_its_batch_mates():
    one, other = batch(8), batch(8)
    other['x'] = other['x'].at[1:].set(0)
    key = jax.random.key(2)
    step = data.EDMAugment(1.0)
    np.testing.assert_array_equal(step(one, key)['x'][0], step(other, key)['x'][0])


def test_contexts_are_the_class_and_nine_zeros():
    dataset = data.AugmentLabels(Blots())
    assert dataset.context_shape == (4 + NUM_LABELS,) and dataset.event_shape == (8, 8, 1)
    rows = dataset.source('train')[np.arange(5)]
    np.testing.assert_array_equal(rows['context'][:, :4], np.eye(4)[rows['label']])
    assert not rows['context'][:, 4:].any() and rows['context'].dtype == np.float32
    base = Blots().source('train')
    assert dataset.source('train').fingerprint != base.fingerprint
    unlabelled = data.AugmentLabels(data.Arrays(x=np.zeros((30, 4, 4, 1))))
    assert unlabelled.context_shape == (NUM_LABELS,)
    assert unlabelled.source('train')[np.arange(2)]['context'].shape == (2, NUM_LABELS)


def test_data_without_contexts_are_refused():
    with pytest.raises(UserError, match=r'dataset=AugmentLabels'):
        data.EDMAugment()({'x': jnp.zeros((2, 4, 4, 1))}, jax.random.key(0))
    with pytest.raises(UserError, match='takes images'):
        data.EDMAugment()({'x': jnp.zeros((2, 4))}, jax.random.key(0))
