"""A run is evaluated in the features of a pretrained network by the command line."""

import numpy as np
import pytest

from genjax.evaluation import DINOv2
from genjax.protocols import fields_of
from genjax.training import loop, results
from tests.evaluation.test_pretrained import arrays_of
from tests.training import tiny

FEATURES = '--evals.features=@genjax.evaluation.DINOv2'


def paths_in(tmp_path):
    """A run, and a file of weights."""
    workdir, weights = tmp_path / 'run', tmp_path / 'weights.npz'
    np.savez(weights, **arrays_of('dinov2'))
    loop.train(tiny.vae(steps=2), workdir)
    return workdir, weights


@pytest.mark.full
def test_the_command_line_names_the_network_and_its_weights(tmp_path, genjax):
    workdir, weights = paths_in(tmp_path)
    command = (
        'evaluate', f'--workdir={workdir}', '--evals=@genjax.evaluation.PrecisionRecall',
        '--evals.num_samples=8', FEATURES, '--evals.features.batch_size=8',
    )  # fmt: skip
    status, _, err = genjax(*command)
    assert status == 2 and 'weights' in err
    status, _, err = genjax(*command, f'--evals.features.weights={tmp_path}/none.npz')
    assert status == 2 and 'there is no file' in err
    status, _, err = genjax(*command, f'--evals.features.weights={weights}')
    assert status == 0, err
    found = results.stored(workdir, 2)['test_precisionrecall']['results']
    assert fields_of(found['protocol'])['features'] == DINOv2(str(weights)).of(tiny.Blots())[1]


@pytest.mark.full
def test_a_card_is_in_the_features_of_the_network(tmp_path, genjax):
    workdir, weights = paths_in(tmp_path)
    status, _, err = genjax(
        'evaluate', f'--workdir={workdir}', '--card', '--evals.num_samples=30', FEATURES,
        f'--evals.features.weights={weights}',
    )  # fmt: skip
    assert status == 0, err
    evals, name = results.stored(workdir, 2), DINOv2(str(weights)).of(tiny.Blots())[1]
    for metric in ('fd', 'kid', 'prdc', 'vendi', 'copying'):
        assert fields_of(evals[metric]['results']['protocol'])['features'] == name
