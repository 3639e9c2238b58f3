"""Generative models: frozen dataclasses that implement the interface of `genjax.models.base`."""

from genjax.models.autoregressive import (
    GPT,
    MADE,
    MDLM,
    Categorical,
    FrameModel,
    LogisticMixture,
    MaskGIT,
    PixelCNN,
)
from genjax.models.bayes import BayesClassifier
from genjax.models.classes import adapt_prior, class_log_probs, class_posterior
from genjax.models.classifier import Classifier
from genjax.models.diffusion import (
    ConsistencyModel,
    ContinuousConsistency,
    DiffusionModel,
    DiscreteDiffusion,
    MeanFlow,
    Shortcut,
)
from genjax.models.energy import JEM
from genjax.models.flow import ContinuousFlow, Flow
from genjax.models.gan import GAN, CycleGAN, StyleGAN
from genjax.models.tabular import JointTable, NaiveBayes, PixelNaiveBayes, UniformBox
from genjax.models.vae import (
    VAE,
    VQVAE,
    Bernoulli,
    BetaTCVAE,
    DiscretisedLogistic,
    FactorVAE,
    Gaussian,
    GaussianMixture,
    InfoVAE,
    InverseAutoregressive,
    KLAutoencoder,
    LadderVAE,
    SemiSupervisedVAE,
    VampPrior,
    VQAutoencoder,
)

__all__ = [
    'GAN',
    'GPT',
    'JEM',
    'MADE',
    'MDLM',
    'VAE',
    'VQVAE',
    'BayesClassifier',
    'Bernoulli',
    'BetaTCVAE',
    'Categorical',
    'Classifier',
    'ConsistencyModel',
    'ContinuousConsistency',
    'ContinuousFlow',
    'CycleGAN',
    'DiffusionModel',
    'DiscreteDiffusion',
    'DiscretisedLogistic',
    'FactorVAE',
    'Flow',
    'FrameModel',
    'Gaussian',
    'GaussianMixture',
    'InfoVAE',
    'InverseAutoregressive',
    'JointTable',
    'KLAutoencoder',
    'LadderVAE',
    'LogisticMixture',
    'MaskGIT',
    'MeanFlow',
    'NaiveBayes',
    'PixelCNN',
    'PixelNaiveBayes',
    'SemiSupervisedVAE',
    'Shortcut',
    'StyleGAN',
    'UniformBox',
    'VQAutoencoder',
    'VampPrior',
    'adapt_prior',
    'class_log_probs',
    'class_posterior',
]
