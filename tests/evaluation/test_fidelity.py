"""Evaluators in feature spaces give what the functions of arrays give, and say how."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import evaluation
from genjax.config import spec
from genjax.data import Binarise, Chain, Dequantise, Digits, Gaussians, Logit, Scale
from genjax.errors import UserError
from genjax.evaluation import EvaluationData
from genjax.evaluation.features import checked
from genjax.models import Classifier
from genjax.networks import MLP
from genjax.protocols import check_same, fields_of, protocol
from genjax.sampling import draw

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Cloud:
    """Noise around the middle of the data, in the range of the model."""

    shape: tuple[int, ...] = (2,)

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, *shape]."""
        return jax.random.normal(key, (num, *self.shape))


@dataclass(frozen=True)
class Copies:
    """Digits of the training split, one after the other."""

    def sample(self, variables, key, num, *, label=None):
        x = jnp.asarray(Digits().source('train')[np.arange(500)]['x'], jnp.float32)
        return x[jax.random.randint(key, (num,), 0, 500)] / 255


def data_of(dataset, *steps, split='test'):
    return EvaluationData(dataset, split, None, Chain(steps), seed=5)


def halves(x):
    return np.stack([x.reshape(len(x), -1).mean(1), np.ones(len(x))], axis=1)


@pytest.mark.full
def test_evaluators_compare_what_is_stored():
    data, model = data_of(Gaussians(), Scale(-1.0, 1.0)), Cloud()
    samples = np.asarray(data.preprocess.inverse(draw(model, {}, 300, 5)))
    source = data.dataset.source('test')
    rows = evaluation.fidelity.random_subset(len(source), 300)
    real = source[rows]['x']
    options = {'num_samples': 300}
    found = evaluation.FrechetDistance(**options)(model, {}, data, KEY)
    np.testing.assert_allclose(
        found['distance'], evaluation.frechet_distance(real, samples), rtol=1e-6
    )
    found = evaluation.PrecisionRecall(**options, k=3)(model, {}, data, KEY)
    expected = evaluation.prdc(real, samples, k=3)
    assert [found[name] for name in expected._fields] == list(expected)
    p = expected.recall
    assert found['recall_stderr'] == pytest.approx(np.sqrt(p * (1 - p) / 300))
    assert fields_of(found['protocol']) == {
        'features': 'data', 'data': source.fingerprint[:12], 'split': 'test', 'examples': '300',
        'samples': '300', 'k': '3', 'preprocess': 'None', 'seed': '5',
    }  # fmt: skip
    found = evaluation.KernelDistance(**options, block=100)(model, {}, data, KEY)
    assert found['kid'] == pytest.approx(evaluation.kernel_distance(real, samples, block=100)[0])
    found = evaluation.Vendi(**options)(model, {}, data, KEY)
    assert found['vendi'] == pytest.approx(evaluation.vendi_score(samples))
    assert found['vendi_data'] == pytest.approx(evaluation.vendi_score(real))


def test_evaluators_of_one_call_draw_once(monkeypatch):
    drawn, draw_given = [], evaluation.fidelity.draw_given
    counted = lambda *args: drawn.append(args) or draw_given(*args)  # noqa: E731
    monkeypatch.setattr(evaluation.fidelity, 'draw_given', counted)
    data, variables = data_of(Gaussians()), {}
    for evaluator in (evaluation.FrechetDistance, evaluation.Vendi):
        together = evaluator(num_samples=50)(Cloud(), variables, data, KEY)
        assert together == evaluator(num_samples=50)(Cloud(), variables, data_of(Gaussians()), KEY)
    assert len(drawn) == 3
    evaluation.Vendi(num_samples=60)(Cloud(), variables, data, KEY)
    assert len(drawn) == 4


def test_preprocessing_is_of_the_protocol_where_it_changes_the_examples():
    found = [
        evaluation.Vendi(num_samples=50)(Cloud((8, 8, 1)), {}, data_of(Digits(), *steps), KEY)
        for steps in ((), (Scale(-1.0, 1.0),), (Dequantise(), Logit()), (Binarise(),))
    ]
    protocols = [fields_of(each['protocol'])['preprocess'] for each in found]
    assert protocols == ['None', 'None', 'None', 'Binarise']
    check_same('vendi', dict(enumerate([each['protocol'] for each in found[:3]])))


def test_copies_are_found_and_noise_is_not():
    data = data_of(Digits(), Scale())
    options = {'num_samples': 300, 'features': evaluation.PCA(20)}
    copied = evaluation.Copying(**options)(Copies(), {}, data, KEY)
    assert copied['of_bound'] > 0.95 and copied['p'] < 1e-30 and copied['c_t'] < -3
    assert copied['authenticity'] == 0 < copied['authenticity_data']
    noise = evaluation.Copying(**options)(Cloud((8, 8, 1)), {}, data, KEY)
    assert noise['z'] > 10 and noise['authenticity'] > 0.9
    with pytest.raises(UserError, match='held-out'):
        evaluation.Copying()(Copies(), {}, data_of(Digits(), split='train'), KEY)


def test_principal_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    x = Digits().source('train')[np.arange(len(Digits().source('train')))]['x']
    features, name = evaluation.PCA(7).of(Digits())
    x = x.reshape(len(x), -1) / 255
    theirs = PCA(7, svd_solver='full').fit(x)
    np.testing.assert_allclose(
        abs(features(255 * x[:50])), abs(theirs.transform(x[:50])), atol=1e-9
    )
    assert name.startswith('7 principal components of ')
    with pytest.raises(UserError, match='less than 65 components'):
        evaluation.PCA(65).of(Digits())


def test_random_convolutions_are_a_function_of_the_example():
    x = Digits().source('test')[np.arange(9)]['x']
    features, name = evaluation.RandomConvolutions((4, 8)).of(Digits())
    assert features(x).shape == (9, 24)
    np.testing.assert_allclose(features(x)[3:4], features(x[3:4]), rtol=1e-5, atol=1e-6)
    other, other_name = evaluation.RandomConvolutions((4, 8), seed=1).of(Digits())
    assert name != other_name and not np.allclose(other(x), features(x))
    with pytest.raises(UserError, match='needs images'):
        evaluation.RandomConvolutions().of(Gaussians())


def test_a_space_of_ones_own():
    space = spec(evaluation.FunctionFeatures, function=halves, version='2')
    assert space.function.startswith('@')
    features, name = evaluation.FunctionFeatures(halves, '2').of(None)
    assert name.endswith('.halves 2')
    assert checked(features, np.ones((3, 4)), name).tolist() == [[1, 1]] * 3
    with pytest.raises(UserError, match=r'of 3 examples have shape \(3,\)'):
        checked(lambda x: x[:, 0], np.ones((3, 4)), 'columns')
    with pytest.raises(UserError, match='of example 1 are not finite'):
        checked(lambda x: np.array([[1.0], [np.nan]]), np.ones((2, 4)), 'holes')


def test_results_of_other_protocols_are_not_compared():
    first = protocol(features='data', samples=500)
    assert fields_of(first) == {'features': 'data', 'samples': '500'}
    assert fields_of('test (500 examples)') == fields_of(first[:-2] + '?]') == {}
    check_same('fd/distance', {'a': first, 'b': first})
    check_same('fd/distance', {'a': protocol(samples=5, seed=0), 'b': protocol(samples=5, seed=1)})
    with pytest.raises(UserError, match=r"of a and b cannot be .* samples is '500' .* '400'"):
        check_same('fd/distance', {'a': first, 'b': protocol(features='data', samples=400)})


def test_speed_counts_what_is_drawn():
    found = evaluation.Speed(num_samples=64, repeats=2)(Cloud(), {'params': {}}, data_of(None), KEY)
    assert 0 < found['samples_per_s_min'] <= found['samples_per_s'] <= found['samples_per_s_max']
    assert found['parameters'] == found['gflops_per_sample'] == found['network_evaluations'] == 0
    assert fields_of(found['protocol'])['samples'] == '64'
    with pytest.raises(UserError, match='positive'):
        evaluation.Speed(repeats=0)


def test_a_card_has_what_a_model_can():
    assert [*evaluation.Card().evals(Cloud())] == ['fd', 'kid', 'prdc', 'vendi', 'copying', 'speed']
    assert evaluation.Card(evaluation.PCA(3), 10).evals(Cloud())['fd'].features == evaluation.PCA(3)
    classifier = Classifier(MLP((4,)), num_classes=3)
    assert [*evaluation.Card().evals(classifier)] == ['accuracy']
