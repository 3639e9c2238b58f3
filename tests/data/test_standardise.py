from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import data
from genjax.data.sources import InMemorySource
from genjax.data.standardise import measuring, recorded
from genjax.errors import UserError


@dataclass(frozen=True)
class Given:
    x: Any = field(hash=False)
    num_classes: ClassVar[None] = None

    def source(self, split):
        return InMemorySource({'x': self.x.copy()})


X = (np.random.RandomState(0).randn(3000, 4, 2) * [3, 0.5] + [1e5, -2]).astype(np.float32)


def chain(*steps, x=X):
    return measuring(data.Chain(steps), Given(x))


def test_moments_are_those_of_the_training_split_along_the_last_axis():
    made = chain(data.Standardise())
    y, log_det = made(jnp.asarray(X), jax.random.key(0))
    flat = X.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(made.provenance['steps[0]']['mean'], flat.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(made.provenance['steps[0]']['std'], flat.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(y).reshape(-1, 2).std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(log_det, -4 * np.log(flat.std(axis=0)).sum(), rtol=1e-6)
    np.testing.assert_allclose(made.inverse(y), X, rtol=1e-6)


def test_they_follow_the_steps_before_and_work_inside_a_trace():
    pixels = np.random.RandomState(0).randint(0, 256, (500, 3, 3, 1)).astype(np.uint8)
    made = chain(data.Scale(0.0, 2.0), data.Standardise(), x=pixels)
    y, log_det = jax.jit(made)(pixels, jax.random.key(0))
    assert abs(float(y.mean())) < 1e-4 and abs(float(y.std()) - 1) < 1e-4
    slope = np.asarray(y[0] - y[1])[0, 0, 0] / (float(pixels[0, 0, 0, 0]) - pixels[1, 0, 0, 0])
    np.testing.assert_allclose(log_det, 9 * np.log(slope), rtol=1e-4)


def test_given_values_and_recorded_ones_need_no_data():
    fixed = chain(data.Standardise((1.0, 2.0), (4.0, 0.5)))
    assert fixed.provenance == {} and fixed.steps[0] == fixed.steps[0]
    y, log_det = fixed(jnp.asarray(X), jax.random.key(0))
    np.testing.assert_allclose(y, (X - [1, 2]) / [4, 0.5], rtol=1e-5)
    np.testing.assert_allclose(log_det, -4 * np.log(2.0), rtol=1e-6)
    made = chain(data.Standardise())
    again = recorded(data.Chain((data.Standardise(),)), made.provenance)
    assert again.provenance == made.provenance
    key = jax.random.key(0)
    np.testing.assert_array_equal(again(X, key)[0], made(X, key)[0])
    other = chain(data.Standardise(), x=X[:100])
    assert other.provenance['steps[0]']['fingerprint'] != made.provenance['steps[0]']['fingerprint']


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: data.Standardise(mean=1.0), 'both mean and std, or neither'),
        (lambda: data.Standardise((0.0,), (0.0,)), 'must be positive'),
        (lambda: data.Standardise()(X, None), 'has no mean and std'),
        (lambda: data.Standardise((0.0,) * 3, 1.0)(X, None), '3 values of mean, .* 2 channels'),
        (
            lambda: chain(data.Standardise(), x=X * [1, 0])(X, jax.random.key(0)),
            'channel 1 .* is constant',
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
