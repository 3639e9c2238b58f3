"""Evaluation of a class-conditional model as a classifier."""

from dataclasses import dataclass, field
from typing import Any

from jax import Array

from genjax.evaluation.accuracy import Accuracy
from genjax.evaluation.base import EvaluationData, Evaluator, Results
from genjax.models.base import Variables
from genjax.models.bayes import BayesClassifier


@dataclass(frozen=True)
class BayesRule(Evaluator):
    """Results of another evaluator for the classifier that Bayes' rule makes of a class-conditional
    model; see `BayesClassifier`.

    Attributes:
        evaluator: of classifiers, such as `Accuracy` or `Selective`; its split is not used.
        log_prior: log p(class) of each class, up to a constant; None: equally likely.
        temperature: divides log p(x | class).
        num_samples: number of samples of a bound or estimate; None: as many as the model has.
    """

    evaluator: Evaluator = field(default_factory=Accuracy)
    log_prior: tuple[float, ...] | None = None
    temperature: float = 1.0
    num_samples: int | None = None

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it has no p(x | class), or the options of the rule
        are out of range.
        """
        rule = BayesClassifier(model, self.log_prior, self.temperature, self.num_samples)
        return self.evaluator(rule, variables, data, key)
