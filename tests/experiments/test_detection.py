"""The detector of the study, on generators that are known."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.detection import analyse
from experiments.detection.detector import Convolutional
from genjax.data import Digits
from genjax.evaluation import cross_generator_ap

pytestmark = pytest.mark.slow


@pytest.mark.full
def test_the_detector_finds_independent_pixels_and_not_held_out_data():
    """Pixels of the one are drawn at the rates of the data, those of the other are data."""
    rows = Digits().source('train')[np.arange(1200)]['x']
    bits = np.where(rows > 100, 255, 0).astype(np.uint8)
    random = np.random.default_rng(0)
    rates = bits.mean(axis=0) / 255
    independent = 255 * (random.uniform(size=(600, *rates.shape)) < rates)
    learner = functools.partial(Convolutional, epochs=40)
    found = cross_generator_ap(
        bits[:600], {'same': bits[600:], 'independent': independent}, learner=learner
    )
    assert found['independent']['independent'] > 0.9
    assert abs(found['same']['same'] - 0.5) < 0.1
    assert abs(found['independent']['same'] - 0.5) < 0.1


def test_drops_are_diagonal_minus_the_row():
    table = np.array([[0.9, 0.5, 0.6], [0.4, 1.0, 0.7], [0.8, 0.3, 0.8]])
    np.testing.assert_allclose(analyse.drops(table), [[0.4, 0.3], [0.6, 0.3], [0.0, 0.5]])


def test_the_table_of_the_page_is_that_of_the_results():
    rows = json.loads(analyse.RESULTS.read_text())
    assert len(rows) >= 3
    assert analyse.report(rows) in Path(analyse.__file__).with_name('README.md').read_text()
