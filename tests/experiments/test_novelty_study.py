"""The study of novelty: an exact world, and 8x8 digits."""

import json
from pathlib import Path

import pytest

import genjax
from experiments.novelty import run as study
from experiments.novelty.models import density
from genjax.data import Corrupted, Digits
from genjax.training import Background

pytestmark = pytest.mark.slow


def test_the_likelihood_of_gaussians_fails_as_it_must():
    found = study.gaussians()
    for name in ('auroc_log_prob', 'fpr95_log_prob', 'auroc_typicality', 'fpr95_typicality'):
        assert found[name] == pytest.approx(found[f'exact_{name}'], abs=0.006)
    assert found['exact_auroc_log_prob'] == pytest.approx(0.0595, abs=1e-4)
    assert found['exact_auroc_typicality'] > 0.85


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    assert len({row['seed'] for row in rows}) >= 3
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_scores_tell_turned_digits_from_upright_ones(tmp_path):
    run = genjax.train(density('vae', 'digits', steps=150), tmp_path / 'run')
    noisy = genjax.train(density('vae', 'digits', 0.3, steps=150), tmp_path / 'background')
    background = Background(str(noisy.workdir))
    scores = study.SCORES['vae']
    turned = study.scored(run, Corrupted(Digits(), 'rotated', 1.0), scores, background, 200)
    for score in ('log_prob', 'ratio', 'regret'):
        assert turned[f'auroc_{score}'] > 0.95
    assert turned['auroc_complexity'] > 0.8
    same = study.scored(run, Digits(), scores, background, 200)
    assert all(same[f'auroc_{score}'] == pytest.approx(0.5) for score in scores)
