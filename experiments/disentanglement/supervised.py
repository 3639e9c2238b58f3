"""Codes after a map that is learned from a few labels of the factors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import Array

from genjax.evaluation import EvaluationData, Evaluator, dci, mig, sap
from genjax.evaluation.base import Results
from genjax.evaluation.disentanglement import in_classes, mean_codes
from genjax.models.base import Variables


def labelled_axes(codes: np.ndarray, factors: np.ndarray, labels: int) -> np.ndarray:
    """Replaces codes [N, D] by a prediction of each factor [N, K], [N - labels, K].

    Linear for ordered factors: ridge regression on the first `labels` rows. For classes, integers,
    logistic regression, and the class is the new code.
    """
    from sklearn.linear_model import LogisticRegression, Ridge  # slow to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = np.issubdtype(factors.dtype, np.integer)
    axes = []
    for factor in factors.T:
        learner = make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000) if classes else Ridge(1.0)
        )
        learner.fit(codes[:labels], factor[:labels])
        axes.append(learner.predict(codes[labels:]))
    return np.stack(axes, axis=1)


@dataclass(frozen=True)
class Supervised(Evaluator):
    """MIG, SAP and DCI of `labelled_axes` on the rows without labels: an upper line for methods
    without supervision.

    Attributes:
        labels: labelled rows.
    """

    labels: int = 100

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        factors = data.dataset.factors(data.split)
        axes = labelled_axes(mean_codes(model, variables, data, key), factors, self.labels)
        factors = factors[self.labels :]
        classes = in_classes(factors)
        return {
            'mig': mig(axes, classes),
            'sap': sap(axes, factors),
            **dci(axes, classes)._asdict(),
            'protocol': f'{self.labels} labels, {len(axes)} other rows of {data.split}',
        }
