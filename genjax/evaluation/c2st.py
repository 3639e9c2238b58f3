"""Classifier two-sample test (C2ST)."""

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
    """Cross-validated accuracy of a classifier between two samples: the two-sample test of
    Lopez-Paz & Oquab (2017).

    Args:
        a: [N, ...], finite.
        b: [M, ...]; the larger sample is randomly subsampled to the size of the other, so that the
            classes are balanced.
        classifier: 'mlp', or 'logistic', which detects only differences of the means.
        hidden: widths of the hidden layers of the 'mlp'.
        folds: number of cross-validation folds.
        seed: seed of the folds and the classifiers.

    Returns:
        The held-out accuracy (0.5: indistinguishable; 1: perfectly separable), and its binomial
        standard error.
    """
    # Imported lazily: scikit-learn is slow to import.
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
        warnings.simplefilter('ignore')  # ConvergenceWarning: the accuracy measures the fit anyway
        predicted = cross_val_predict(make_pipeline(StandardScaler(), learner), x, y, cv=parts)
    accuracy = float(np.mean(predicted == y))
    return accuracy, math.sqrt(accuracy * (1 - accuracy) / len(y))


@dataclass(frozen=True)
class C2ST(PerSample):
    """Classifier two-sample test of samples against the split.

    Gives 'accuracy' (0.5: indistinguishable for this classifier; 1: perfectly separable), 'stderr'
    and 'protocol'.

    Attributes:
        num_samples: number of samples, and of examples; fewer if the split is smaller.
        classifier: 'mlp' or 'logistic'.
        hidden: widths of the hidden layers of the 'mlp'.
        folds: number of cross-validation folds.
        batch_size: samples per batch.
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
        """Raises UserError if samples are not finite, or examples too few."""
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
