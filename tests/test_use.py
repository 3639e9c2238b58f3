"""`genjax use`: the answers of the functions that it calls, also for a semi-supervised run."""

import numpy as np
import optax
import pytest
from scipy.special import softmax

import genjax
from genjax import sampling
from genjax.cli import main
from genjax.config import spec
from genjax.data import Binarise, Chain, SemiSupervised, Simulations
from genjax.data.simulators import GaussianLinear
from genjax.evaluation import Accuracy, BayesRule
from genjax.inference import likelihood_posterior, posterior_samples
from genjax.models import BayesClassifier, Flow, SemiSupervisedVAE
from genjax.models.flow import Autoregressive
from genjax.networks import MLP, MaskedMLP
from genjax.training import Experiment
from tests.tiers import full
from tests.training import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def few(tmp_path_factory):
    """M2 on blots, of which three of each class have labels."""
    model = SemiSupervisedVAE(
        MLP((32,)), MLP((32,), shape=tiny.SHAPE), 2, num_classes=4, classifier=MLP((32,)),
        eval_samples=8,
    )  # fmt: skip
    config = spec(
        Experiment,
        dataset=SemiSupervised(tiny.Blots(), per_class=3),
        preprocess=Chain((Binarise(),)),
        model=model,
        optimizer=spec(optax.adam, 1e-2),
        steps=100,
        steps_per_call=10,
        batch_size=32,
        num_samples=4,
    )
    return genjax.train(config, tmp_path_factory.mktemp('few') / 'run')


@pytest.fixture
def examples(tmp_path):
    x = tiny.Blots().source('test')[np.arange(20)]['x']
    np.savez(tmp_path / 'x.npz', x=x)
    return x, f'--examples={tmp_path}/x.npz'


def test_the_run_classifies_by_both_rules_and_samples_given_the_label(few):
    found = few.evaluate({'q': Accuracy(), 'p': BayesRule()})
    assert found['q/accuracy'] > 0.9 and found['p/accuracy'] > 0.9
    assert found['p/protocol'].startswith("Bayes' rule, IWAE-8 for each of 4 classes, test")
    x = few.sample(40, label=np.arange(40) % 4, means=True)
    assert np.mean(np.argmax(few.classify(x), axis=1) == np.arange(40) % 4) > 0.9


def test_classify(few, examples, tmp_path, capsys):
    x, words = examples
    use = ['use', 'classify', f'--workdir={few.workdir}', words, f'--out={tmp_path}/out.npz']
    assert main(use) == 0
    out = np.load(tmp_path / 'out.npz')
    np.testing.assert_allclose(out['probability'], softmax(few.classify(x), axis=1), rtol=1e-5)
    np.testing.assert_array_equal(out['label'], np.argmax(few.classify(x), axis=1))
    assert '20 examples: ' in capsys.readouterr().out
    # With a prior it is that of the densities, not the classifier.
    assert main([*use, '--prior=.7,.1,.1,.1', '--temperature=2']) == 0
    rule = BayesClassifier(few.model, tuple(np.log([0.7, 0.1, 0.1, 0.1])), 2.0)
    logits = sampling.classify(rule, few.experiment.preprocess, few.variables, x)
    found = np.load(tmp_path / 'out.npz')['probability']
    np.testing.assert_allclose(found, softmax(logits, axis=1), rtol=1e-4, atol=1e-6)
    assert main([*use, '--prior=.5,.5']) == 2
    assert '4 numbers, one for each class' in capsys.readouterr().err


def test_novelty(few, capsys):
    use = ['use', 'novelty', f'--workdir={few.workdir}', '--other=@tests.training.tiny.Blots']
    assert main([*use, '--trust=tests', '--other.variant=1', '--scores=typicality']) == 0
    shown = capsys.readouterr().out
    assert 'novelty/auroc_typicality' in shown and 'log_prob' not in shown.split('protocol')[0]


@pytest.mark.parametrize('modelled', ['parameters', full('observations')])
def test_posterior(tmp_path, capsys, modelled):
    config = spec(
        Experiment,
        dataset=spec(Simulations, task=spec(GaussianLinear), num=100, modelled=modelled),
        model=Flow(Autoregressive(MaskedMLP(())), (10,), context_shape=(10,)),
        optimizer=spec(optax.adam, 1e-2),
        steps=2,
        batch_size=8,
    )
    run, task = genjax.train(config, tmp_path / 'run'), GaussianLinear()
    observed = 'context' if modelled == 'parameters' else 'x'
    observation = run.experiment.dataset.source('test')[np.arange(1)][observed]
    np.save(tmp_path / 'x.npy', observation)
    use = ['use', 'posterior', f'--workdir={run.workdir}', f'--observation={tmp_path}/x.npy']
    assert main([*use, '--num=50', '--seed=3', f'--out={tmp_path}/theta.npz']) == 0
    common = run.model, run.variables, observation[0]
    if modelled == 'parameters':
        want = posterior_samples(*common, task.prior_log_prob, 50, seed=3).samples
    else:
        want = likelihood_posterior(*common, task, 50, seed=3)
    np.testing.assert_array_equal(np.load(tmp_path / 'theta.npz')['x'], want)
    assert f'parameter 0: {want[:, 0].mean():.4g} ±' in capsys.readouterr().out
    np.save(tmp_path / 'x.npy', observation[:, :3])
    assert main(use) == 2
    assert 'an observation is [10], not [1, 3]' in capsys.readouterr().err
