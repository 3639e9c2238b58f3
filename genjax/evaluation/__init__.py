"""How good a model is: functions of arrays (`likelihood`, `modes`), and evaluators that run them.

An evaluator is a frozen dataclass that a config can name. It is called with a model, its variables,
an `EvaluationData` and a key, and gives named figures.
"""

from genjax.evaluation.ais import AIS
from genjax.evaluation.base import EvaluationData, Evaluator
from genjax.evaluation.codes import CodebookUse
from genjax.evaluation.divergence import KL
from genjax.evaluation.factors import FactorR2
from genjax.evaluation.likelihood import Likelihood
from genjax.evaluation.modes import Modes
from genjax.evaluation.support import Support
from genjax.evaluation.tokens import TokenLikelihood
from genjax.evaluation.two_sample import C2ST

__all__ = [
    'AIS',
    'C2ST',
    'KL',
    'CodebookUse',
    'EvaluationData',
    'Evaluator',
    'FactorR2',
    'Likelihood',
    'Modes',
    'Support',
    'TokenLikelihood',
]
