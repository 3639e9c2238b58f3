"""A run as the background of a likelihood ratio."""

import numpy as np
import pytest

from genjax.data import Corrupted
from genjax.errors import UserError
from genjax.evaluation import Novelty, auroc, likelihood_ratio
from genjax.training import Background, loop
from genjax.training import loading as runs
from tests.training import tiny


@pytest.mark.full
def test_the_ratio_is_that_of_two_runs(tmp_path):
    for seed in (0, 1):
        loop.train(tiny.vae(steps=2, seed=seed), tmp_path / f'{seed}')
    run, other = (runs.load(tmp_path / f'{seed}') for seed in (0, 1))
    background, novel = Background(str(tmp_path / '1')), Corrupted(tiny.Blots(), 'noise', 0.3)
    ratios = []
    for data in (tiny.Blots(), novel):
        source = data.source('test')
        x = source[np.arange(len(source))]['x']
        np.testing.assert_array_equal(background.log_prob(x), other.log_prob(x).value)
        ratios.append(likelihood_ratio(run.log_prob(x).value, other.log_prob(x).value))
    found = run.evaluate({'novelty': Novelty(novel, ('ratio',), background=background)})
    assert found['novelty/auroc_ratio'] == pytest.approx(auroc(*ratios), abs=1e-6)
    assert background.name.startswith('VAE ') and background.name.endswith(', step 2')
    assert background.name in found['novelty/protocol']


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match='is not the folder of a run'):
        Background(str(tmp_path)).log_prob(np.zeros((1, 2)))
