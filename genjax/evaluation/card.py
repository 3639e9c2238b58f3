"""The standard evals of a model: quality, diversity, novelty, likelihood, speed."""

from dataclasses import dataclass, field
from typing import Any

from genjax.evaluation.accuracy import Accuracy
from genjax.evaluation.base import Evaluator
from genjax.evaluation.copying import Copying
from genjax.evaluation.features import FeatureSpace, Raw
from genjax.evaluation.fidelity import FrechetDistance, KernelDistance, PrecisionRecall, Vendi
from genjax.evaluation.likelihood import Likelihood
from genjax.evaluation.speed import Speed


@dataclass(frozen=True)
class Card:
    """Options of the standard evals, by which models of all families are compared.

    Attributes:
        features: feature space of the metrics of samples.
        num_samples: number of samples, and largest number of examples.
    """

    features: FeatureSpace = field(default_factory=Raw)
    num_samples: int = 5000

    def evals(self, model: Any) -> dict[str, Evaluator]:
        """Returns the evals that a model can have, by name."""
        evals: dict[str, Evaluator] = {}
        if callable(getattr(model, 'sample', None)):
            options = {'features': self.features, 'num_samples': self.num_samples}
            evals |= {
                'fd': FrechetDistance(**options),
                'kid': KernelDistance(**options),
                'prdc': PrecisionRecall(**options),
                'vendi': Vendi(**options),
                'copying': Copying(**options),
                'speed': Speed(),
            }
        elif callable(getattr(model, 'classify', None)):
            evals['accuracy'] = Accuracy()
        if callable(getattr(model, 'log_prob', None)):
            evals['likelihood'] = Likelihood()
        return evals
