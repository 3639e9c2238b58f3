"""A run of a classifier with few labels, as its commands and Python see it."""

import json

import jax
import numpy as np
import optax
import pytest

import genjax
from genjax import config as configs
from genjax.cli import main
from genjax.config import spec
from genjax.data import Chain, Corrupted, Scale, SemiSupervised
from genjax.errors import UserError
from genjax.evaluation import Accuracy, Probe
from genjax.models import Classifier
from genjax.networks import MLP
from genjax.training import Experiment
from tests.training import tiny


def config():
    return spec(
        Experiment,
        dataset=SemiSupervised(tiny.Blots(), per_class=3),
        preprocess=Chain((Scale(),)),
        model=Classifier(MLP((16,)), num_classes=4),
        optimizer=spec(optax.adam, 1e-2),
        steps=20,
        batch_size=16,
        ema=(0.9,),
        sample_every=10,
        evals={'valid': Accuracy(split='validation', every=10), 'probe': Probe(3, repeats=2)},
        best='valid',
        best_mode='max',
    )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return genjax.train(config(), tmp_path_factory.mktemp('classifier') / 'run')


def test_it_learns_from_few_labels_and_draws_no_images(run):
    assert not (run.workdir / 'samples').exists()
    found = json.loads((run.workdir / f'evaluations/{run.step}.json').read_text())['evals']
    assert found['probe']['results']['protocol'].startswith('logistic on 16 features, 3 labels of')
    assert run.evaluate({'a': Accuracy()})['a/accuracy'] > 0.9


def test_classify_and_features_in_python(run):
    examples = tiny.Blots().source('test')[np.arange(7)]
    logits = run.classify(examples['x'])
    assert logits.shape == (7, 4) and run.features(examples['x']).shape == (7, 16)
    direct = run.model.classify(run.variables, examples['x'].astype(np.float32) / 255)
    np.testing.assert_allclose(logits, jax.device_get(direct), rtol=1e-5, atol=1e-5)


def test_another_data_set(run):
    clean, grey = (
        run.evaluate({'a': Accuracy()}, dataset=dataset)['a/accuracy']
        for dataset in (tiny.Blots(), Corrupted(tiny.Blots(), 'occluded', 1.0))
    )
    assert clean > 0.9 and grey < 0.5
    with pytest.raises(
        UserError, match=r'run have the shape \[8, 8, 1\], those of Corrupted \[8, 8, 3'
    ):
        run.evaluate({'a': Accuracy()}, dataset=Corrupted(tiny.Blots(), 'coloured', 1.0))


def test_its_commands(run, tmp_path, capsys):
    workdir = f'--workdir={run.workdir}'
    evaluate = ['evaluate', workdir, '--evals=@genjax.evaluation.Accuracy', '--split=train']
    assert main(evaluate) == 0
    # The unlabelled are left out.
    assert 'train (28 examples)' in capsys.readouterr().out
    assert main(['sample', workdir, f'--out={tmp_path}/x.png']) == 2
    assert 'a Classifier draws no samples from noise' in capsys.readouterr().err
    assert main(['evaluate', workdir, '--evals=@genjax.evaluation.Likelihood']) == 2
    assert 'the model has no log_prob()' in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.parametrize(('network', 'least'), [('mlp', 0.97), ('cnn', 0.98)])
def test_the_configs_of_digits_reach_their_accuracy(network, least, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, 'device_count', lambda: 1)  # eight devices are for other tests
    run = genjax.train(configs.load(f'configs/digits/classifier_{network}.py'), tmp_path / 'run')
    assert run.evaluate({'test': Accuracy()})['test/accuracy'] >= least
