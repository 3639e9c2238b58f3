"""Metrics: functions of arrays (`bits_per_dim`, `mode_counts`), and the evaluators that use them.

An evaluator is a frozen dataclass derived from `Evaluator`, with a `split` and a period. `evaluate`
runs evaluators by name; its results are named `<eval name>/<result>`.
"""

from genjax.evaluation.aggregate import AggregatePosterior
from genjax.evaluation.ais import AIS
from genjax.evaluation.base import EvaluationData, Evaluator, FunctionEvaluator
from genjax.evaluation.bases import PerExample, PerSample
from genjax.evaluation.c2st import C2ST
from genjax.evaluation.class_modes import ClassModes
from genjax.evaluation.codebook import CodebookUse
from genjax.evaluation.factor_r2 import FactorR2
from genjax.evaluation.kl import KL
from genjax.evaluation.labels import LabelAccuracy
from genjax.evaluation.likelihood import Likelihood
from genjax.evaluation.mmd import MMD
from genjax.evaluation.modes import Modes
from genjax.evaluation.outliers import Outliers
from genjax.evaluation.path_length import PerceptualPathLength
from genjax.evaluation.rate_distortion import RateDistortion
from genjax.evaluation.reconstruction import Reconstruction
from genjax.evaluation.results import evaluate
from genjax.evaluation.support import Support
from genjax.evaluation.token_likelihood import TokenLikelihood
from genjax.evaluation.translation import TranslationAccuracy
from genjax.evaluation.wasserstein import CriticW1, wasserstein_1

__all__ = [
    'AIS',
    'C2ST',
    'KL',
    'MMD',
    'AggregatePosterior',
    'ClassModes',
    'CodebookUse',
    'CriticW1',
    'EvaluationData',
    'Evaluator',
    'FactorR2',
    'FunctionEvaluator',
    'LabelAccuracy',
    'Likelihood',
    'Modes',
    'Outliers',
    'PerExample',
    'PerSample',
    'PerceptualPathLength',
    'RateDistortion',
    'Reconstruction',
    'Support',
    'TokenLikelihood',
    'TranslationAccuracy',
    'evaluate',
    'wasserstein_1',
]
