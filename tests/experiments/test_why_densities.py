"""The study of what densities of digits are good for: its page, and its parts at a small size."""

import json
from pathlib import Path

import pytest

from experiments.why_densities import codes, common, energies
from experiments.why_densities import run as study

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def batches_for_eight_devices(monkeypatch):
    monkeypatch.setattr(common, 'BATCH', 96)


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    for part in ('codes', 'labels', 'cues', 'energies', 'attacks'):
        assert len({row['seed'] for row in rows if row['part'] == part}) >= 3
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_a_code_that_reconstructs_is_of_less_use_than_its_image(tmp_path):
    rows = {row['code']: row for row in codes.measure(tmp_path, 0)}
    assert rows['flow']['error'] < 0.5 < rows['vae']['error']
    assert rows['flow']['accuracy_10'] < rows['pixels']['accuracy_10'] - 0.1
    assert rows['vae']['accuracy_10'] > rows['random']['accuracy_10'] + 0.05


@pytest.mark.full
def test_a_classifier_does_not_create_what_it_can_tell(tmp_path, monkeypatch):
    monkeypatch.setitem(energies.STEPS, 'jem', 800)
    classifier, jem = energies.measure(tmp_path, 0)
    assert min(classifier['right'], jem['right']) > 0.8
    assert classifier['distance'] > 2 * jem['distance'] > jem['test_distance']
