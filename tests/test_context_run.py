"""A run of a model with contexts, as its commands and Python see it."""

import dataclasses
import json

import numpy as np
import optax
import pytest

import genjax
from genjax.cli import main
from genjax.config import spec
from genjax.data import Binarise, Chain
from genjax.errors import UserError
from genjax.evaluation import (
    AIS,
    C2ST,
    MMD,
    FrechetDistance,
    Likelihood,
    RateDistortion,
    Reconstruction,
)
from genjax.models import VAE
from genjax.networks import MLP
from genjax.training import Experiment
from tests.training import tiny

pytestmark = pytest.mark.slow


def config():
    decoder = MLP((32,), shape=tiny.SHAPE)
    return spec(
        Experiment,
        dataset=tiny.Placed(size=400),
        preprocess=Chain((Binarise(),)),
        model=VAE(MLP((32,)), decoder, latent_dim=2, eval_samples=4, context_shape=(2,)),
        optimizer=spec(optax.adam, 1e-2),
        steps=300,
        batch_size=64,
        num_samples=8,
        evals={'nll': Likelihood(split='validation')},
    )


class _Misread(VAE):
    """Takes the opposite of the context."""

    def sample(self, variables, key, num, *, label=None, context=None):
        return super().sample(variables, key, num, label=label, context=-context)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return genjax.train(config(), tmp_path_factory.mktemp('context') / 'run')


PLACES = np.array([[-1, -1], [1, 1]], np.float32)


def test_samples_are_at_the_place_that_the_context_tells(run):
    x = run.sample(200, context=np.repeat(PLACES, 100, axis=0), means=True)
    shares = x.reshape(2, 100, 2, 4, 2, 4).sum((1, 3, 5)) / x.reshape(2, -1).sum(1)[:, None, None]
    assert shares[0, 0, 0] > 0.7 and shares[1, 1, 1] > 0.7
    one, all_ = run.sample(3, context=PLACES[1]), run.sample(3, context=PLACES[[1, 1, 1]])
    np.testing.assert_array_equal(one, all_)
    with pytest.raises(UserError, match=r'VAE learned p\(x \| context\): give a context \[3, 2\]'):
        run.sample(3)
    with pytest.raises(UserError, match=r'numbers \[3, 2\], or \[2\]; not float64 \[2, 3\]'):
        run.sample(3, context=np.ones((2, 3)))
    with pytest.raises(UserError, match='no classes: leave the label out'):
        run.sample(3, label=1)


def test_the_wrong_context_costs_likelihood_and_codes_hold_the_right_one(run):
    rows = tiny.Placed(size=400).source('test')[np.arange(50)]
    right = run.log_prob(rows['x'], context=rows['context']).value
    assert np.mean(right) > np.mean(run.log_prob(rows['x'], context=-rows['context']).value) + 5
    z = run.encode(rows['x'], context=rows['context'])
    np.testing.assert_array_equal(z[:, 2:], rows['context'])
    np.testing.assert_array_equal(
        run.decode(z), run.reconstruct(rows['x'], context=rows['context'])
    )
    assert run.features(rows['x'], context=rows['context']).shape == (50, 2)
    moved = run.decode(z, context=-rows['context'])
    assert np.mean(np.abs(moved - rows['x'])) > 1.5 * np.mean(np.abs(run.decode(z) - rows['x']))


def test_evaluators_give_the_context_and_compare_pairs(run):
    evals = {
        'nll': Likelihood(),
        'mmd': MMD(100),
        'fd': FrechetDistance(num_samples=100),
        'ais': AIS(num_steps=4, num_chains=2, num_leapfrog=1, num_batches=1),
        'rd': RateDistortion(),
        'psnr': Reconstruction(),
    }
    found = run.evaluate(evals)
    assert 'contexts given' in found['nll/protocol'] and 'contexts as in' in found['mmd/protocol']
    assert 'contexts=' in found['fd/protocol'] and 'given the cond' in found['ais/protocol']
    bound = found['rd/rate'] + found['rd/distortion']
    assert found['nll/nll'] == pytest.approx(bound, abs=0.2)
    # Samples of a model that misreads the context have the distribution of the data, not the pairs.
    fields = {each.name: getattr(run.model, each.name) for each in dataclasses.fields(VAE)}
    experiment = dataclasses.replace(run.experiment, model=_Misread(**fields))
    wrong = dataclasses.replace(run, experiment=experiment)
    right, wrong = (
        each.evaluate({'c2st': C2ST(400, hidden=(64,), folds=2)})['c2st/accuracy']
        for each in (run, wrong)
    )
    assert wrong > 0.8 and wrong > right + 0.1


def test_its_command_and_its_images(run, tmp_path, capsys):
    words = ['sample', f'--workdir={run.workdir}']
    np.savez(tmp_path / 'c.npz', context=PLACES)
    assert main([*words, f'--out={tmp_path}/x.npz', f'--context={tmp_path}/c.npz']) == 0
    with np.load(tmp_path / 'x.npz') as drawn:
        np.testing.assert_array_equal(drawn['context'], PLACES)
        assert len(drawn['arr_0']) == 2
    np.save(tmp_path / 'c.npy', PLACES)
    options = [f'--out={tmp_path}/x.png', f'--context={tmp_path}/c.npy', '--num=3']
    assert main([*words, *options]) == 0
    assert (tmp_path / 'x.png').stat().st_size
    capsys.readouterr()
    assert main([*words, f'--out={tmp_path}/y.npz']) == 2
    assert 'give a context [64, 2], or [2]' in capsys.readouterr().err
    assert {path.name for path in run.workdir.iterdir()} >= {'samples', 'reconstructions'}
    nll = json.loads((run.workdir / f'evaluations/{run.step}.json').read_text())['evals']['nll']
    assert 'contexts given' in nll['results']['protocol']
