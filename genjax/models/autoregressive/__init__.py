"""Autoregressive models, with exact likelihoods, and masked models of tokens."""

from genjax.models.autoregressive.decoding import TokenSampling
from genjax.models.autoregressive.frames import FrameModel
from genjax.models.autoregressive.gpt import GPT
from genjax.models.autoregressive.made import MADE
from genjax.models.autoregressive.mixtures import Categorical, LogisticMixture
from genjax.models.autoregressive.pixelcnn import PixelCNN
from genjax.models.autoregressive.speculative import speculative_sample
from genjax.models.conditional import GuidedSampling
from genjax.models.diffusion.masked import MDLM, MaskGIT

__all__ = [
    'GPT',
    'MADE',
    'MDLM',
    'Categorical',
    'FrameModel',
    'GuidedSampling',
    'LogisticMixture',
    'MaskGIT',
    'PixelCNN',
    'TokenSampling',
    'speculative_sample',
]
