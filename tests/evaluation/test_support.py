"""Precision and recall of a box on the map, against ratios of areas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, ConditionalGaussian, Digits, WorldPoints
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, Outliers, Support
from genjax.models import UniformBox

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def _data(dataset):
    def batches(size):
        source = dataset.source('test')
        for start in range(0, len(source), size):
            rows = np.minimum(np.arange(start, start + size), len(source) - 1)
            mask = jnp.arange(start, start + size) < len(source)
            yield {'x': jnp.asarray(source[rows]['x']), 'mask': mask}

    return EvaluationData(dataset, 'test', batches, Chain())


@pytest.mark.parametrize(
    ('low', 'high'), [((-2.0, -1.0), (2.0, 1.0)), ((-0.2, -0.4), (0.6, 0.4)), ((-2, -0.7), (-1, 0))]
)
def test_precision_and_recall_of_a_box_are_ratios_of_areas(low, high):
    world = WorldPoints()
    box = {'low': jnp.array(low, float), 'high': jnp.array(high, float)}
    variables = {'params': {'box': {}}, 'state': {'box': box}}
    figures = Support(20_000, 900)(UniformBox((2,)), variables, _data(world), KEY)
    land = world.land_area_within(low, high)
    area = float(np.prod(np.subtract(high, low)))
    assert figures['precision'] == pytest.approx(land / area, abs=0.015)
    assert figures['recall'] == pytest.approx(land / world.land_area, abs=0.05)
    expected = np.sqrt(figures['precision'] * (1 - figures['precision']) / 20_000)
    assert figures['precision_stderr'] == pytest.approx(expected)
    assert figures['protocol'] == '20000 samples, 1000 of test'


def test_what_has_no_density_is_refused():
    with pytest.raises(UserError, match=r'known density.*Digits'):
        Support()(UniformBox((8, 8, 1)), {}, _data(Digits()), KEY)
    for evaluator in (Support(), Outliers()):
        with pytest.raises(UserError, match='ConditionalGaussian has one for each context'):
            evaluator(UniformBox((2,)), {}, _data(ConditionalGaussian()), KEY)
    with pytest.raises(UserError, match='no log_prob'):
        Support()(object(), {}, _data(WorldPoints()), KEY)
