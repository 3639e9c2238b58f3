"""How well known factors can be read from features."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Digits, Jars
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, FactorR2
from genjax.evaluation.factor_r2 import linear_r2

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
FACTORS = np.random.RandomState(0).standard_normal((2000, 2))


def test_a_linear_map_of_the_factors_explains_all_and_noise_nothing():
    mixed = FACTORS @ np.array([[1.0, 2.0, 0.5], [-1.0, 0.3, 4.0]]) + 7
    np.testing.assert_allclose(linear_r2(mixed, 5 - 3 * FACTORS), 1, atol=1e-9)
    noise = np.random.RandomState(1).standard_normal((2000, 3))
    np.testing.assert_allclose(linear_r2(noise, FACTORS), 0, atol=0.02)


def test_noise_on_the_features_lowers_r2_as_it_should():
    """Of x = f + n the best linear map explains var f / (var f + var n)."""
    noise = 0.5 * np.random.RandomState(1).standard_normal(FACTORS.shape)
    np.testing.assert_allclose(linear_r2(FACTORS + noise, FACTORS), 0.8, atol=0.03)


def test_more_features_than_rows_are_seen_through():
    features = np.random.RandomState(1).standard_normal((60, 100))
    assert (linear_r2(features, FACTORS[:60]) < 0.5).all()


@dataclass(frozen=True)
class Sides:
    """Reads the sums of the rows or columns that jars cover."""

    axes: tuple[int, ...] = (1, 2)

    def features(self, variables, x):
        """One number for each axis: how much of the middle of the picture is dark."""
        dark = 230.0 - x[..., 0]
        lines = {1: jnp.sum(jnp.minimum(dark[:, :, 16], 110.0), -1), 2: jnp.sum(dark[:, 27], -1)}
        return jnp.stack([lines[axis] for axis in self.axes], axis=-1)


def _data(dataset):
    source = dataset.source('validation')

    def batches(size):
        for start in range(0, len(source), size):
            rows = np.minimum(np.arange(start, start + size), len(source) - 1)
            mask = jnp.arange(start, start + size) < len(source)
            yield {'x': jnp.asarray(source[rows]['x']), 'mask': mask}

    return EvaluationData(dataset, 'validation', batches, Chain())


def test_the_factors_of_jars_are_read():
    figures = FactorR2(batch_size=300)(Sides(), {}, _data(Jars()), KEY)
    assert figures['r2'] > 0.98
    assert figures['r2'] == pytest.approx((figures['r2_height'] + figures['r2_width']) / 2)
    assert figures['protocol'].startswith('linear, 2 features, validation: fitted on one half of 5')
    only_width = FactorR2()(Sides((2,)), {}, _data(Jars()), KEY)
    assert only_width['r2_width'] > 0.98 and only_width['r2_height'] < 0.1


def test_what_has_no_factors_or_features_is_refused():
    with pytest.raises(UserError, match=r'known factors.*Digits'):
        FactorR2()(Sides(), {}, _data(Digits()), KEY)
    with pytest.raises(UserError, match='no features'):
        FactorR2()(object(), {}, _data(Digits()), KEY)
