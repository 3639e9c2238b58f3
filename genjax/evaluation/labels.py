"""Accuracy of conditional samples: whether they show the requested class."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jax import Array

from genjax.data.sources import Dataset, Source
from genjax.errors import UserError
from genjax.evaluation import convolutional
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.models.base import GenerativeModel, Variables
from genjax.sampling.draw import draw

Classifier = Callable[[np.ndarray], np.ndarray]
Learner = Literal['svm', 'mlp', 'cnn']


def fit_classifier(x: np.ndarray, label: np.ndarray, learner: Learner = 'svm') -> Classifier:
    """Trains an image classifier.

    Args:
        x: [N, ...] in 0..255.
        label: [N].
        learner: 'svm' (RBF kernel; for up to about ten thousand examples), 'mlp' (512 hidden units;
            for more) or 'cnn' (`convolutional.fit`; images [H, W] or [H, W, C]).

    Returns:
        A function from images [M, ...] in 0..255 to labels int [M]; values are clipped to the
        range, and non-finite ones count as black.

    Raises:
        UserError: an unknown learner.
    """
    # Imported lazily: scikit-learn is slow to import.
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    if learner not in ('svm', 'mlp', 'cnn'):
        raise UserError(f"a classifier is an 'svm', an 'mlp' or a 'cnn', not {learner!r}")

    def shares(x: np.ndarray) -> np.ndarray:
        x = np.nan_to_num(np.asarray(x, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        return np.clip(x / 255, 0, 1)

    def rows(x: np.ndarray) -> np.ndarray:
        return shares(x).reshape(len(x), -1)

    if learner == 'cnn':
        classify = convolutional.fit(shares(x), label)
        return lambda x: classify(shares(x))
    if learner == 'svm':
        model = SVC(C=10.0)
    else:
        model = MLPClassifier((512,), early_stopping=True, n_iter_no_change=5)
    model.set_params(random_state=0).fit(rows(x), label)
    return lambda x: model.predict(rows(x))


@functools.lru_cache(maxsize=4)
def train_classifier(
    dataset: Dataset, learner: Learner, show: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> tuple[Classifier, float]:
    """Trains a classifier on a data set's training split, cached per process; also returns its test
    accuracy.

    Args:
        dataset: a data set of images.
        learner: see `fit_classifier`.
        show: maps examples to images (`Chain.show`), e.g. stored latents.

    Raises:
        UserError: the data have no labels.
    """
    if dataset.num_classes is None:
        raise UserError(f'the classifier needs labels, and {type(dataset).__name__} has none')
    train, test = everything(dataset.source('train')), everything(dataset.source('test'))
    classifier = fit_classifier(show(train['x']), train['label'], learner)
    return classifier, accuracy(classifier, show(test['x']), test['label'])


def everything(source: Source) -> dict[str, np.ndarray]:
    """All examples of a split."""
    return source[np.arange(len(source))]


def accuracy(classifier: Classifier, x: np.ndarray, label: np.ndarray) -> float:
    """Fraction of images [N, ...] whose `label` [N] the classifier predicts."""
    return float(np.mean(classifier(x) == label))


@dataclass(frozen=True)
class LabelAccuracy(Evaluator):
    """Fraction of conditional samples that a classifier of real data assigns to their class.

    The classifier is trained on the training split; samples cycle through all classes. Gives
    'accuracy', 'classifier' (its own test accuracy, an approximate upper limit) and 'protocol'. For
    stored latents, the classifier is trained on decoded ones.

    Attributes:
        num_samples: number of samples.
        classifier: 'svm', or 'mlp' or 'cnn' for more than about ten thousand examples.
        batch_size: samples per batch.
    """

    num_samples: int = 1000
    classifier: Learner = 'svm'
    batch_size: int = 250

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it or the data have no classes."""
        require(self, model, 'sample')
        num_classes = getattr(model, 'num_classes', None)
        if num_classes is None:
            raise UserError(
                f'LabelAccuracy needs a model with classes; {type(model).__name__} has none'
            )
        classifier, own = train_classifier(data.dataset, self.classifier, data.preprocess.show)
        asked = np.arange(self.num_samples, dtype=np.int32) % num_classes
        x = draw(
            model, variables, self.num_samples, data.seed, asked, preprocess=data.preprocess,
            batch_size=self.batch_size,
        )  # fmt: skip
        return {
            'accuracy': accuracy(classifier, x, asked),
            'classifier': own,
            'protocol': f'{self.classifier}, {self.num_samples} samples',
        }
