"""Accuracy of conditional samples and of translations, for models that are right a known share."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Digits, Gaussians, Scale, Transformed, Unpaired, eval_batches
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, LabelAccuracy, TranslationAccuracy, convolutional
from genjax.evaluation.labels import accuracy, fit_classifier, train_classifier

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
SCALE = Chain((Scale(-1.0, 1.0),))
# One test picture of each class.
_TEST = Digits().source('test')
_EXAMPLES = _TEST[np.arange(300)]
PICTURES = np.stack(
    [_EXAMPLES['x'][np.flatnonzero(_EXAMPLES['label'] == digit)[0]] for digit in range(10)]
)


@dataclass(frozen=True)
class Album:
    """Shows a test picture of the class, or with `wrong` of the next class where it is below."""

    wrong: int = 0
    num_classes: int | None = 10

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, 8, 8, 1] in [-1, 1]."""
        shown = jnp.where(label < self.wrong, (label + 1) % 10, label)
        return jnp.asarray(PICTURES)[shown] / 127.5 - 1


@dataclass(frozen=True)
class Negative:
    """Translates rightly into the inverted domain, or leaves pictures alone."""

    right: bool = True

    def translate(self, variables, x, direction='ab'):
        """Of x [B, 8, 8, 1] in [-1, 1]."""
        return -x if self.right else x


def _data(dataset):
    def batches(size):
        for batch in eval_batches(dataset.source('test'), batch_size=size):
            yield jax.device_put(batch)

    return EvaluationData(dataset, 'test', batches, SCALE)


@pytest.mark.parametrize('learner', ['svm', 'mlp', pytest.param('cnn', marks=pytest.mark.full)])
def test_the_classifiers_know_the_digits(learner):
    classifier, own = train_classifier(Digits(), learner)
    assert own >= {'svm': 0.98, 'mlp': 0.9, 'cnn': 0.98}[learner]
    assert own == accuracy(classifier, _EXAMPLES['x'], _EXAMPLES['label'])
    strange = np.stack([np.full((8, 8, 1), value) for value in (np.nan, np.inf, -1e9)])
    assert len(set(classifier(strange))) == 1


@pytest.mark.full
def test_convolutions_learn_digits_in_few_updates(monkeypatch):
    monkeypatch.setattr(convolutional, '_UPDATES', 150)
    train = Digits().source('train')[np.arange(1000)]
    classifier = fit_classifier(train['x'], train['label'], 'cnn')
    assert accuracy(classifier, _EXAMPLES['x'], _EXAMPLES['label']) > 0.93


def test_classes_apart_are_told_apart_whatever_the_shape():
    x = np.repeat([0, 255], 20)[:, None, None] * np.ones((1, 3, 2))
    label = np.repeat([4, 7], 20)
    assert set(fit_classifier(x, label)(np.array([[[10.0] * 2] * 3, [[400.0] * 2] * 3]))) == {4, 7}
    with pytest.raises(UserError, match="an 'mlp' or a 'cnn'"):
        fit_classifier(x, label, 'tree')


@pytest.mark.parametrize('wrong', [0, 3])
def test_the_share_of_samples_of_the_class_asked_for(wrong):
    evaluator = LabelAccuracy(num_samples=55, batch_size=20)
    figures = evaluator(Album(wrong), {}, _data(Digits()), KEY)
    asked = np.arange(55) % 10
    assert figures['accuracy'] == pytest.approx(np.mean(asked >= wrong))
    assert figures['classifier'] >= 0.98
    assert figures['protocol'] == 'svm, 55 samples'


def test_models_and_data_without_classes_are_refused():
    with pytest.raises(UserError, match='with classes; Album has none'):
        LabelAccuracy()(Album(num_classes=None), {}, _data(Digits()), KEY)
    with pytest.raises(UserError, match=r'no sample\(\)'):
        LabelAccuracy()(Negative(), {}, _data(Digits()), KEY)


def test_translations_are_judged_by_pictures_of_their_domain():
    data = _data(Unpaired(Digits(), Transformed(Digits(), 'inverted')))
    figures = TranslationAccuracy(batch_size=64)(Negative(), {}, data, KEY)
    # A picture and its negative are equally far from others and theirs.
    assert figures['accuracy'] == pytest.approx(figures['classifier'], abs=0.004)
    assert figures['classifier'] >= 0.98
    assert figures['untranslated'] < 0.5
    assert figures['protocol'] == 'svm, 300 of test'
    untouched = TranslationAccuracy(batch_size=64)(Negative(right=False), {}, data, KEY)
    assert untouched['accuracy'] == figures['untranslated']


def test_translation_needs_two_domains_and_a_translator():
    with pytest.raises(UserError, match='two domains'):
        TranslationAccuracy()(Negative(), {}, _data(Gaussians()), KEY)
    with pytest.raises(UserError, match=r'no translate\(\)'):
        TranslationAccuracy()(Album(), {}, _data(Digits()), KEY)
