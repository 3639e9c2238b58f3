"""Can a classifier tell samples from data?"""

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation.base import Results
from genjax.evaluation.bases import PerSample


def c2st(
    a: np.ndarray,
    b: np.ndarray,
    *,
    classifier: Literal['mlp', 'logistic'] = 'mlp',
    hidden: tuple[int, ...] = (128,),
    folds: int = 5,
    seed: int = 0,
) -> tuple[float, float]:
    """Accuracy of a classifier that tells two samples apart, by cross-validation: the two-sample
    test of Lopez-Paz & Oquab (2017).

    Args:
        a: [N, ...], finite.
        b: [M, ...]; of the larger one only as many rows are used as the other has, chosen at
            random, so that guessing is right half of the time.
        classifier: 'mlp', or 'logistic', which only sees differences of the means.
        hidden: widths of the hidden layers of the 'mlp'.
        folds: how many parts the examples are cut into, each judged by a classifier trained on the
            others.
        seed: of the parts and of the classifiers.

    Returns:
        The share of right answers on examples not trained on (.5: cannot be told apart; 1: told
        every time), and its binomial standard error.
    """
    # Imported here: scikit-learn is slow to import.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    size = min(len(a), len(b))
    a, b = (np.asarray(part)[random_subset(len(part), size)] for part in (a, b))
    x = np.concatenate([part.astype(np.float32).reshape(size, -1) for part in (a, b)])
    y = np.repeat([0, 1], size)
    learner = {
        'mlp': lambda: MLPClassifier(
            hidden, alpha=1e-3, early_stopping=size >= 500, max_iter=200, random_state=seed
        ),
        'logistic': lambda: LogisticRegression(max_iter=500),
    }[classifier]()
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of too few iterations: the accuracy says what was learnt
        predicted = cross_val_predict(make_pipeline(StandardScaler(), learner), x, y, cv=parts)
    accuracy = float(np.mean(predicted == y))
    return accuracy, math.sqrt(accuracy * (1 - accuracy) / len(y))


@dataclass(frozen=True)
class C2ST(PerSample):
    """Classifier two-sample test of samples against the split.

    Gives 'accuracy' (.5: no classifier of this kind can tell; 1: always told), 'stderr' and
    'protocol'.

    Attributes:
        num_samples: how many samples, and as many examples; fewer where the split is smaller.
        classifier: 'mlp' or 'logistic'.
        hidden: widths of the hidden layers of the 'mlp'.
        folds: parts in the cross-validation.
        batch_size: samples at a time.
        as_stored: compare in the range of the data, as they are stored and samples are shown,
            rather than in the space of the model.
    """

    num_samples: int = 2000
    classifier: Literal['mlp', 'logistic'] = 'mlp'
    hidden: tuple[int, ...] = (128,)
    folds: int = 5
    batch_size: int = 250
    as_stored: bool = False

    def __post_init__(self):
        if self.classifier not in ('mlp', 'logistic'):
            raise UserError(f"C2ST.classifier is 'mlp' or 'logistic', not {self.classifier!r}")
        if self.folds < 2:
            raise UserError(f'C2ST.folds must be at least 2, not {self.folds}')

    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        """Raises a UserError when samples are not finite, or examples too few."""
        if len(examples) < 2 * self.folds:
            raise UserError(f'C2ST: {len(examples)} examples are too few for {self.folds} folds')
        if not np.all(np.isfinite(samples)):
            raise UserError('C2ST: some samples are not finite')
        accuracy, stderr = c2st(
            examples, samples, classifier=self.classifier, hidden=self.hidden, folds=self.folds
        )
        how = f'mlp {self.hidden}' if self.classifier == 'mlp' else 'logistic'
        return {
            'accuracy': accuracy,
            'stderr': stderr,
            'protocol': f'{how}, {self.folds}-fold',
        }
