"""Tests the JSON files and table cells of `experiments.records`."""

import json
from pathlib import Path

import pytest

from experiments import records
from experiments.detection import analyse as detection
from experiments.novelty import run as novelty


def test_a_result_is_measured_once_and_kept(tmp_path):
    calls = []

    def measure(*args):
        calls.append(args)
        return {'pair': args}

    path = tmp_path / 'new' / 'result.json'
    for _ in range(2):
        assert records.once(path, measure, 1, 0.1) == {'pair': [1, 0.1]}
    assert calls == [(1, 0.1)]


def test_a_failed_measurement_keeps_nothing(tmp_path):
    path = tmp_path / 'result.json'
    with pytest.raises(ZeroDivisionError):
        records.once(path, lambda: 1 / 0)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    'results', [detection.RESULTS, novelty.RESULTS], ids=lambda p: p.parent.name
)
def test_rows_are_written_as_they_are_committed(tmp_path, results: Path):
    path = tmp_path / 'results.json'
    records.write_rows(path, json.loads(results.read_text()))
    assert path.read_bytes() == results.read_bytes()


def test_rows_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'results.json'
    records.write_rows(path, [{'seed': 0}, {'seed': 1}])
    assert path.read_text() == '[\n{"seed": 0},\n{"seed": 1}\n]\n'
    with pytest.raises(TypeError):
        records.write_rows(path, [{'seed': 2}, {'seed': {3}}])
    assert len(json.loads(path.read_text())) == 2


def test_cells():
    assert records.spread([1.0, 2.0, 3.0], 2) == '2.00 ± 1.00'
    assert records.spread([1.26], 1) == '1.3'
