"""Diffusion and flow matching: paths, parameterisations, samplers and models."""

from genjax.models.diffusion.consistency import ConsistencyModel
from genjax.models.diffusion.continuous_consistency import ContinuousConsistency
from genjax.models.diffusion.diffusion import DiffusionModel
from genjax.models.diffusion.discrete import DiscreteDiffusion
from genjax.models.diffusion.discrete_paths import Masking, UniformNoise
from genjax.models.diffusion.discrete_samplers import Confidence, DiscreteAncestral
from genjax.models.diffusion.editing import RePaint
from genjax.models.diffusion.few_step import MeanFlow, Shortcut
from genjax.models.diffusion.guidance import Autoguidance, Classifier, ClassifierFree
from genjax.models.diffusion.learned_variance import LearnedVariance
from genjax.models.diffusion.multistep import Multistep
from genjax.models.diffusion.parameterisations import (
    EDM,
    X0,
    Epsilon,
    Prediction,
    V,
    Velocity,
)
from genjax.models.diffusion.paths import (
    VE,
    CosineVP,
    DiscreteVP,
    Karras,
    LinearVP,
    Rectified,
    SubVP,
)
from genjax.models.diffusion.samplers import (
    DDIM,
    DPM2M,
    Ancestral,
    Churn,
    Euler,
    EulerMaruyama,
    Heun,
)
from genjax.models.diffusion.sampling import (
    DiffusionSampling,
    DiscreteSampling,
    FewStepSampling,
    MaskGITSampling,
)
from genjax.models.diffusion.time_schedules import (
    KarrasSchedule,
    LogSNRSchedule,
    PowerSchedule,
    ShiftedSchedule,
)
from genjax.models.diffusion.weighting import (
    ELBO,
    LogitNormal,
    LogNormal,
    MinSNR,
    ShiftedTimes,
    TruncatedSNR,
    Uniform,
    UniformLogSNR,
    Unweighted,
)
from genjax.models.diffusion.zero_snr import ZeroTerminalSNR

__all__ = [
    'DDIM',
    'DPM2M',
    'EDM',
    'ELBO',
    'VE',
    'X0',
    'Ancestral',
    'Autoguidance',
    'Churn',
    'Classifier',
    'ClassifierFree',
    'Confidence',
    'ConsistencyModel',
    'ContinuousConsistency',
    'CosineVP',
    'DiffusionModel',
    'DiffusionSampling',
    'DiscreteAncestral',
    'DiscreteDiffusion',
    'DiscreteSampling',
    'DiscreteVP',
    'Epsilon',
    'Euler',
    'EulerMaruyama',
    'FewStepSampling',
    'Heun',
    'Karras',
    'KarrasSchedule',
    'LearnedVariance',
    'LinearVP',
    'LogNormal',
    'LogSNRSchedule',
    'LogitNormal',
    'MaskGITSampling',
    'Masking',
    'MeanFlow',
    'MinSNR',
    'Multistep',
    'PowerSchedule',
    'Prediction',
    'RePaint',
    'Rectified',
    'ShiftedSchedule',
    'ShiftedTimes',
    'Shortcut',
    'SubVP',
    'TruncatedSNR',
    'Uniform',
    'UniformLogSNR',
    'UniformNoise',
    'Unweighted',
    'V',
    'Velocity',
    'ZeroTerminalSNR',
]
