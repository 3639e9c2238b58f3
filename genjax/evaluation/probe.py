"""Few-label classification from the features of a model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jax import Array

from genjax.data.labelled import labelled_rows, labels_of
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.models.base import HasFeatures, Variables
from genjax.sampling.apply import features

Learner = Literal['logistic', 'svm', 'knn', 'propagation']
LEARNERS = ('logistic', 'svm', 'knn', 'propagation')
_CHUNK = 4096  # examples read at a time; limits memory
_NEIGHBOURS = 7  # of the graph of 'propagation'


def fit_probe(
    x: np.ndarray, label: np.ndarray, learner: Learner = 'logistic', unlabelled: np.ndarray = ()
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a simple classifier on features.

    Features are centred, and divided by one number, the root mean square of their standard
    deviations, so that their unit does not matter.

    Args:
        x: [N, D].
        label: int [N].
        learner: 'logistic' regression; 'svm', support vector machine with RBF kernel; 'knn', up to
            five nearest neighbours; 'propagation', the nearest neighbours among labelled and
            unlabelled examples after `propagate`.
        unlabelled: [M, D], for 'propagation'.

    Returns:
        A function from features [K, D] to labels int [K].
    """
    # Imported lazily: scikit-learn is slow to import.
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    if learner not in LEARNERS:
        raise UserError(f'a learner is one of {", ".join(LEARNERS)}, not {learner!r}')
    everything = np.concatenate([x, np.reshape(unlabelled, (-1, x.shape[1]))]).astype(np.float64)
    centre, scale = everything.mean(0), np.sqrt(everything.var(0).mean()) or 1.0

    def scaled(x: np.ndarray) -> np.ndarray:
        return (np.asarray(x, np.float64) - centre) / scale

    if learner == 'propagation':
        x, label = everything, propagate(scaled(everything), label)
    model = {
        'logistic': lambda: LogisticRegression(max_iter=1000),
        'svm': lambda: SVC(C=10.0),
        'knn': lambda: KNeighborsClassifier(min(5, np.bincount(label).max())),
        'propagation': lambda: KNeighborsClassifier(_NEIGHBOURS),
    }[learner]()
    model.fit(scaled(x), label)
    return lambda x: model.predict(scaled(x))


def propagate(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Spreads labels over a graph (Zhou et al., "Learning with local and global consistency",
    2004): the classes with the largest entries of (I - α S)⁻¹ Y, where S is the normalised
    adjacency of the symmetric graph of nearest neighbours, Y the labels as one-hot, and α = .99.

    Args:
        x: [N, D].
        label: labels int [M] of the first M examples.

    Returns:
        Labels int [N]; those of examples that no path connects to a label are 0.
    """
    from sklearn.neighbors import kneighbors_graph

    graph = kneighbors_graph(x, min(_NEIGHBOURS, len(x) - 1)).toarray()
    graph = np.maximum(graph, graph.T)
    scale = 1 / np.sqrt(graph.sum(axis=1))
    targets = np.zeros((len(x), label.max() + 1))
    targets[np.arange(len(label)), label] = 1
    spread = np.linalg.solve(np.eye(len(x)) - 0.99 * scale[:, None] * graph * scale, targets)
    return np.argmax(spread, axis=1)


@dataclass(frozen=True)
class Probe(Evaluator):
    """Accuracy of a simple classifier that learns from the features of few labelled examples.

    The classifier (see `fit_probe`) is trained on `per_class` training examples of each class and
    tested on the split. This is repeated with other labelled examples: draw r has those of
    `Labelled(..., per_class, seed=r)`. Gives the mean 'accuracy', its standard deviation 'sd' over
    the draws, and 'protocol'. On the features of a VAE it is the M1 of Kingma et al.,
    "Semi-supervised learning with deep generative models" (2014).

    Attributes:
        per_class: labelled examples of each class.
        learner: 'logistic', 'svm', 'knn' or 'propagation'.
        repeats: draws of the labelled examples.
        num_unlabelled: unlabelled training examples that 'propagation' uses.
    """

    per_class: int = 10
    learner: Learner = 'logistic'
    repeats: int = 5
    num_unlabelled: int = 2000

    def __post_init__(self):
        if self.learner not in LEARNERS:
            raise UserError(f'Probe.learner is one of {", ".join(LEARNERS)}, not {self.learner!r}')
        for name, least in (('per_class', 1), ('repeats', 2), ('num_unlabelled', 1)):
            if getattr(self, name) < least:
                raise UserError(f'Probe.{name} must be at least {least}, not {getattr(self, name)}')

    def __call__(
        self, model: HasFeatures, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it has no features or the data have no labels."""
        require(self, model, 'features')
        if data.dataset.num_classes is None:
            raise UserError(f'Probe needs labels, and {type(data.dataset).__name__} has none')
        train = data.dataset.source('train')
        label = labels_of(train)
        draws = [
            labelled_rows(data.dataset, label, self.per_class, draw) for draw in range(self.repeats)
        ]
        unlabelled = np.zeros(0, int)
        if self.learner == 'propagation':
            # The same for all draws; those that are labelled in a draw occur twice in it.
            unlabelled = np.random.RandomState(0).permutation(len(train))[: self.num_unlabelled]

        def of(source: object, rows: np.ndarray) -> np.ndarray:
            parts = (source[rows[i : i + _CHUNK]]['x'] for i in range(0, len(rows), _CHUNK))
            return np.concatenate(
                [features(model, data.preprocess, variables, x, data.seed) for x in parts]
            )

        rows, place = np.unique(np.concatenate([*draws, unlabelled]), return_inverse=True)
        learned = of(train, rows)[place]
        size = len(draws[0])
        test = data.dataset.source(data.split)
        x, wanted = of(test, np.arange(len(test))), labels_of(test)
        if not np.any(wanted >= 0):
            raise UserError(f'Probe needs labels: the {data.split} split has none')
        accuracies = []
        for number, chosen in enumerate(draws):
            few = learned[number * size : (number + 1) * size]
            predict = fit_probe(few, label[chosen], self.learner, learned[self.repeats * size :])
            accuracies.append(np.mean((predict(x) == wanted)[wanted >= 0]))
        return {
            'accuracy': float(np.mean(accuracies)),
            'sd': float(np.std(accuracies, ddof=1)),
            'protocol': f'{self.learner} on {x.shape[1]} features, {self.per_class} labels of each'
            f' class, {self.repeats} draws, {data.split} ({len(x)} examples)',
        }
