"""Classification with the option to reject: the risk of the examples that are answered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.accuracy import log_posteriors, protocol_of
from genjax.evaluation.base import EvaluationData, Evaluator, Results
from genjax.models.base import Variables


def risk_coverage(confidence: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the risk-coverage curve (El-Yaniv & Wiener, 2010): the error rate of the k most
    confident examples, for k = 1..N. Among equally confident ones, any order is as likely, and the
    risk is its mean.

    Args:
        confidence: [N], larger: rejected later.
        wrong: whether the prediction is wrong, bool [N], or its loss.

    Returns:
        Coverage k / N and risk, float64 [N] each.
    """
    negated = -np.asarray(confidence, np.float64)
    _, tie, size = np.unique(negated, return_inverse=True, return_counts=True)
    share = np.bincount(tie, np.asarray(wrong, np.float64)) / size
    answered = np.arange(1, len(negated) + 1)
    return answered / len(negated), np.cumsum(np.repeat(share, size)) / answered


def aurc(confidence: np.ndarray, wrong: np.ndarray) -> float:
    """Area under the risk-coverage curve (Geifman, Uziel & El-Yaniv, 2019): the mean of the risk
    over k = 1..N; see `risk_coverage`.
    """
    return float(np.mean(risk_coverage(confidence, wrong)[1]))


def risk_at(confidence: np.ndarray, wrong: np.ndarray, coverage: float) -> float:
    """Risk of the fewest examples that are at least this share of all, the most confident ones; see
    `risk_coverage`.

    Raises:
        UserError: the coverage is not in (0, 1].
    """
    if not 0 < coverage <= 1:
        raise UserError(f'coverage={coverage} must be above 0, and at most 1')
    coverages, risks = risk_coverage(confidence, wrong)
    return float(risks[np.searchsorted(coverages, coverage - 1e-9)])


def chow_threshold(cost: float) -> float:
    """Returns the threshold of Chow's rule, 1 - cost: the expected cost is least if an example is
    rejected whenever the probability of its most likely class is lower (Chow, "On optimum
    recognition error and reject tradeoff", 1970).

    Args:
        cost: of a rejection, where an error costs 1; in [0, 1].
    """
    if not 0 <= cost <= 1:
        raise UserError(f'cost={cost} of a rejection must be from 0 to 1, the cost of an error')
    return 1 - cost


@dataclass(frozen=True)
class Selective(Evaluator):
    """Error rate of a classifier that rejects the examples of which it is least sure: a model that
    classifies, or the posterior p(class | x) of a class-conditional model, as in `Accuracy`.

    The confidence is the probability of the predicted class. Gives 'risk_100', … (the error rate at
    each of the coverages in percent), 'aurc' (see `aurc`), 'excess_aurc' (how much more that is
    than if all errors were rejected first) and 'protocol'. Unlabelled examples (-1) are left out.

    Attributes:
        coverages: shares of the examples that are answered, in (0, 1].
        batch_size: examples per batch.
    """

    coverages: tuple[float, ...] = (1.0, 0.95, 0.9, 0.8)
    batch_size: int = 500

    def __post_init__(self):
        for coverage in self.coverages:
            if not 0 < coverage <= 1:
                raise UserError(f'Selective.coverages: {coverage} must be above 0, and at most 1')
        if self.batch_size < 1:
            raise UserError(f'Selective.batch_size must be at least 1, not {self.batch_size}')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it does not classify or there are no labels."""
        log_p, label = log_posteriors(self, model, variables, data, key)
        predicted = np.argmax(log_p, axis=1)
        wrong = predicted != label
        # The probability of all other classes orders the examples whose own rounds to 1.
        log_p[np.arange(len(log_p)), predicted] = -np.inf
        confidence = -np.logaddexp.reduce(log_p, axis=1)
        area = aurc(confidence, wrong)
        return {
            **{f'risk_{100 * c:g}': risk_at(confidence, wrong, c) for c in self.coverages},
            'aurc': area,
            'excess_aurc': area - aurc(~wrong, wrong),
            'protocol': ', '.join(protocol_of(model, data, len(label))),
        }
