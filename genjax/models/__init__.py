"""The families of generative models, each a frozen dataclass that fulfils `genjax.models.base`."""

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
from genjax.models.flow import ContinuousFlow, Flow
from genjax.models.gan import GAN
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
    InverseAutoregressive,
    LadderVAE,
    VampPrior,
)

__all__ = [
    'GAN',
    'GPT',
    'MADE',
    'MDLM',
    'VAE',
    'VQVAE',
    'Bernoulli',
    'BetaTCVAE',
    'Categorical',
    'ContinuousFlow',
    'DiscretisedLogistic',
    'FactorVAE',
    'Flow',
    'FrameModel',
    'Gaussian',
    'GaussianMixture',
    'InverseAutoregressive',
    'JointTable',
    'LadderVAE',
    'LogisticMixture',
    'MaskGIT',
    'NaiveBayes',
    'PixelCNN',
    'PixelNaiveBayes',
    'UniformBox',
    'VampPrior',
]
