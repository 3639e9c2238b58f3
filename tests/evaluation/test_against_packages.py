"""Metrics of fixed features are those of other packages; `fixtures/make_metrics.py` ran these."""

import json
from pathlib import Path

import numpy as np

from genjax.evaluation import frechet_distance, kernel_distance, prdc

THEIRS = json.loads((Path(__file__).parent.parent / 'fixtures' / 'metrics.json').read_text())


def features():
    random = np.random.RandomState(0)
    real = random.randn(600, 24) @ random.randn(24, 24)
    return real, 1.1 * random.randn(500, 24) @ random.randn(24, 24) / 2 + real[:500] / 2 + 0.1


def test_precision_recall_density_and_coverage():
    ours = prdc(*features(), k=5)._asdict()
    assert ours.keys() == THEIRS['prdc'].keys()
    for name, value in THEIRS['prdc'].items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-12, err_msg=name)


def test_frechet_distance():
    np.testing.assert_allclose(frechet_distance(*features()), THEIRS['fid'], rtol=1e-6)


def test_kernel_distance():
    """Theirs is the mean over random subsets, which overlap."""
    theirs = THEIRS['kid']['kernel_inception_distance_mean']
    values = [kernel_distance(*features(), block=250, seed=s)[0] for s in range(20)]
    assert abs(np.mean(values) - theirs) < 3 * np.std(values) / np.sqrt(20)
