"""Variational autoencoders."""

from genjax.models.vae.disentangling import BetaTCVAE, FactorVAE
from genjax.models.vae.first_stages import KLAutoencoder, VQAutoencoder
from genjax.models.vae.iaf import InverseAutoregressive
from genjax.models.vae.info import InfoVAE
from genjax.models.vae.ladder import LadderVAE
from genjax.models.vae.likelihoods import Bernoulli, DiscretisedLogistic, Gaussian
from genjax.models.vae.priors import GaussianMixture, StandardNormal, VampPrior
from genjax.models.vae.quantised import VQVAE
from genjax.models.vae.semisupervised import SemiSupervisedVAE
from genjax.models.vae.vae import VAE

__all__ = [
    'VAE',
    'VQVAE',
    'Bernoulli',
    'BetaTCVAE',
    'DiscretisedLogistic',
    'FactorVAE',
    'Gaussian',
    'GaussianMixture',
    'InfoVAE',
    'InverseAutoregressive',
    'KLAutoencoder',
    'LadderVAE',
    'SemiSupervisedVAE',
    'StandardNormal',
    'VQAutoencoder',
    'VampPrior',
]
