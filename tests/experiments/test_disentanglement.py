"""Analysis of variance of disentanglement, and the labelled upper line."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f_oneway

from experiments.disentanglement import analyse
from experiments.disentanglement.supervised import labelled_axes
from genjax.cli import main
from genjax.evaluation import mig
from genjax.reports.load import read

pytestmark = pytest.mark.slow

README = Path(analyse.__file__).with_name('README.md')


def test_components_are_those_of_scipy_and_of_the_simulation():
    random = np.random.default_rng(0)
    few = random.standard_normal((3, 10)) + np.array([[0], [0.5], [1]])
    found = analyse.components(few)
    expected = f_oneway(*few)
    assert (found.f, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    many = 2 * random.standard_normal((2000, 1)) + 3 * random.standard_normal((2000, 10))
    assert analyse.components(many)[:2] == pytest.approx((9, 4), rel=0.1)


def test_a_winner_on_all_metrics_is_counted_by_seed():
    def row(method, seed, value, sap):
        return {
            'world': 'jars',
            'method': method,
            'seed': seed,
            'codes': dict.fromkeys(analyse.METRICS, value) | {'sap': sap},
        }

    rows = [
        *(row('beta', seed, 0.1, 0.1) for seed in range(3)),
        row('beta_tc', 0, 0.2, 0.2), row('beta_tc', 1, 0.2, 0.0), row('beta_tc', 2, 0.2, 0.2),
        *(row('factor', seed, 0.0, 0.0) for seed in range(3)),
    ]  # fmt: skip
    assert list(analyse.best_in_all(rows, 'jars')) == [0, 2, 0]
    assert list(analyse.best(analyse.table(rows, 'jars', 'sap'))) == [1, 2, 0]


@pytest.mark.parametrize('classes', [False, True])
def test_labels_turn_rotated_codes_back(classes):
    random = np.random.default_rng(0)
    factors = random.integers(0, 5, (1500, 2)) if classes else random.uniform(size=(1500, 2))
    codes = factors @ np.array([[1, 1], [1, -1]]) + 0.01 * random.standard_normal((1500, 2))
    cut = np.floor(5 * factors).astype(int) if not classes else factors
    assert mig(codes, cut) < 0.1
    assert mig(labelled_axes(codes, factors, 100), cut[100:]) > 0.75


@pytest.mark.full
def test_the_gate_of_the_study(tmp_path):
    """Two members, each with what a hundred labels turn better aligned than what it found."""
    workdir = tmp_path / 'jars_factor'
    config = '--config=experiments/disentanglement/sweep.py:jars_factor'
    arguments = ['--launcher=vectorized', '--sweep=seeds(2)', f'--workdir={workdir}']
    assert main(['sweep', config, *arguments]) == 0
    rows = [analyse._row('jars', 'factor', trial) for trial in read(workdir).trials]
    assert {row['seed'] for row in rows} == {0, 1}
    for row in rows:
        assert row['bound']['distortion'] < 256 and row['codes']['informativeness'] > 0.7
        assert row['supervised']['sap'] > row['codes']['sap'] + 0.3


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(analyse.RESULTS.read_text())
    for world in analyse.WORLDS:
        assert analyse.report(rows, world) in README.read_text()
        assert analyse.table(rows, world, 'mig').shape == (3, 10)
