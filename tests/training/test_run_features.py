"""The features of a run, as a space in which samples of another are compared."""

import numpy as np
import pytest

from genjax.data import Gaussians
from genjax.errors import UserError
from genjax.protocols import fields_of
from genjax.training import RunFeatures, loop, results
from genjax.training import loading as runs
from tests.training import tiny


def test_features_are_those_of_the_run(tmp_path, genjax):
    workdir = tmp_path / 'run'
    loop.train(tiny.vae(steps=2), workdir)
    run, data = runs.load(workdir), tiny.Blots()
    features, name = RunFeatures(str(workdir)).of(data)
    x = data.source('test')[np.arange(5)]['x']
    np.testing.assert_array_equal(features(x + 0.3), run.features(x))
    assert name.startswith('VAE ') and name.endswith(', step 2')
    with pytest.raises(UserError, match=r'shape \(8, 8, 1\), and these have \(2,\)'):
        RunFeatures(str(workdir)).of(Gaussians())
    status, _, err = genjax(
        'evaluate', f'--workdir={workdir}', '--evals=@genjax.evaluation.PrecisionRecall',
        '--evals.features=@genjax.training.RunFeatures', f'--evals.features.workdir={workdir}',
        '--evals.num_samples=30',
    )  # fmt: skip
    assert status == 0, err
    evals = results.stored(workdir, 2)
    protocol = fields_of(evals['test_precisionrecall']['results']['protocol'])
    assert protocol['features'] == name and protocol['samples'] == '30'


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match='is not the folder of a run'):
        RunFeatures(str(tmp_path)).of(tiny.Blots())
