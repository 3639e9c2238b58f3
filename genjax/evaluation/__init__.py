"""Metrics: functions of arrays (`bits_per_dim`, `mode_counts`), and the evaluators that use them.

An evaluator is a frozen dataclass derived from `Evaluator`, with a `split` and a period. `evaluate`
runs evaluators by name; its results are named `<eval name>/<result>`.
"""

from genjax.evaluation.accuracy import Accuracy
from genjax.evaluation.adversarial import Adversarial, pgd
from genjax.evaluation.aggregate import AggregatePosterior
from genjax.evaluation.ais import AIS
from genjax.evaluation.base import EvaluationData, Evaluator, FunctionEvaluator
from genjax.evaluation.bases import PerExample, PerSample
from genjax.evaluation.bayes_rule import BayesRule
from genjax.evaluation.c2st import C2ST
from genjax.evaluation.card import Card
from genjax.evaluation.class_modes import ClassModes
from genjax.evaluation.codebook import CodebookUse
from genjax.evaluation.copying import Copying, authenticity, copying_ct, copying_z, nearest
from genjax.evaluation.detection import cross_generator_ap
from genjax.evaluation.disentanglement import Disentanglement, dci, factor_vae_score, mig, sap
from genjax.evaluation.factor_r2 import FactorR2
from genjax.evaluation.features import PCA, FeatureSpace, FunctionFeatures, RandomConvolutions, Raw
from genjax.evaluation.fidelity import (
    FrechetDistance,
    InFeatures,
    KernelDistance,
    PrecisionRecall,
    Vendi,
)
from genjax.evaluation.frechet import frechet_distance, frechet_extrapolated, frechet_jackknife
from genjax.evaluation.kid import kernel_distance
from genjax.evaluation.kl import KL
from genjax.evaluation.labels import LabelAccuracy
from genjax.evaluation.likelihood import Likelihood
from genjax.evaluation.manifold import prdc
from genjax.evaluation.mmd import MMD
from genjax.evaluation.modes import Modes
from genjax.evaluation.novelty import Novelty
from genjax.evaluation.novelty_scores import (
    auroc,
    complexity,
    energy,
    fpr_at,
    likelihood_ratio,
    mahalanobis,
    typicality,
)
from genjax.evaluation.outliers import Outliers
from genjax.evaluation.path_length import PerceptualPathLength
from genjax.evaluation.pretrained import DINOv2, Inception, Pretrained
from genjax.evaluation.probe import Probe
from genjax.evaluation.rate_distortion import RateDistortion
from genjax.evaluation.reconstruction import Reconstruction
from genjax.evaluation.results import evaluate
from genjax.evaluation.selective import (
    Selective,
    aurc,
    chow_threshold,
    risk_at,
    risk_coverage,
)
from genjax.evaluation.speed import Speed
from genjax.evaluation.support import Support
from genjax.evaluation.token_likelihood import TokenLikelihood
from genjax.evaluation.translation import TranslationAccuracy
from genjax.evaluation.vendi import vendi_score
from genjax.evaluation.wasserstein import CriticW1, wasserstein_1

__all__ = [
    'AIS',
    'C2ST',
    'KL',
    'MMD',
    'PCA',
    'Accuracy',
    'Adversarial',
    'AggregatePosterior',
    'BayesRule',
    'Card',
    'ClassModes',
    'CodebookUse',
    'Copying',
    'CriticW1',
    'DINOv2',
    'Disentanglement',
    'EvaluationData',
    'Evaluator',
    'FactorR2',
    'FeatureSpace',
    'FrechetDistance',
    'FunctionEvaluator',
    'FunctionFeatures',
    'InFeatures',
    'Inception',
    'KernelDistance',
    'LabelAccuracy',
    'Likelihood',
    'Modes',
    'Novelty',
    'Outliers',
    'PerExample',
    'PerSample',
    'PerceptualPathLength',
    'PrecisionRecall',
    'Pretrained',
    'Probe',
    'RandomConvolutions',
    'RateDistortion',
    'Raw',
    'Reconstruction',
    'Selective',
    'Speed',
    'Support',
    'TokenLikelihood',
    'TranslationAccuracy',
    'Vendi',
    'aurc',
    'auroc',
    'authenticity',
    'chow_threshold',
    'complexity',
    'copying_ct',
    'copying_z',
    'cross_generator_ap',
    'dci',
    'energy',
    'evaluate',
    'factor_vae_score',
    'fpr_at',
    'frechet_distance',
    'frechet_extrapolated',
    'frechet_jackknife',
    'kernel_distance',
    'likelihood_ratio',
    'mahalanobis',
    'mig',
    'nearest',
    'pgd',
    'prdc',
    'risk_at',
    'risk_coverage',
    'sap',
    'typicality',
    'vendi_score',
    'wasserstein_1',
]
