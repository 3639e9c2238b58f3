"""The study of few labels: its page, its choice of restarts, and a world of long classes."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.few_labels import run as study
from genjax.data import Arrays

pytestmark = pytest.mark.slow


def everything(dataset, split):
    source = dataset.source(split)
    return source[np.arange(len(source))]


def test_restarts_are_chosen_by_the_bound_and_not_by_the_error(monkeypatch, tmp_path):
    found = iter([(0.1, -17.0), (0.3, -16.0), (0.05, -18.0)])

    def trained(config, workdir, split):
        error, bound = next(found)
        return {'classifier': error, 'seconds': config.seed, 'bound': bound}

    monkeypatch.setattr(study, 'trained', trained)
    config = study.config_of('m2', 100, 7, tmp_path)
    best = study.best_of(config, 3, tmp_path)
    assert best['classifier'] == 0.3
    assert [each['seconds'] for each in best['restarts']] == [21, 22, 23]


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    tens = {row['method'] for row in rows if (row['labels'], row['draw']) == (100, 9)}
    assert tens >= {'pixels', 'm1', 'm1_m2'}
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_unlabelled_examples_show_the_axis_along_which_classes_are_long(tmp_path):
    random = np.random.default_rng(0)
    label = np.arange(6000) % 10
    x = 0.3 * random.standard_normal((6000, 10)) + random.standard_normal((10, 10))[label]
    x[:, 9] = 3 * random.standard_normal(6000)
    np.savez(tmp_path / 'x.npz', x=x.astype(np.float32), label=label)
    data = Arrays(str(tmp_path / 'x.npz'), x='x', label='label')
    known = {split: everything(data, split)['x'] for split in ('train', 'test')}
    found = [study.probed(data, known, 20, draw) for draw in range(5)]
    alone, helped = (np.mean([f[name] for f in found]) for name in ('svm', 'propagation'))
    assert helped < 0.6 * alone
