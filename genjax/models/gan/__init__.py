"""Generative adversarial networks."""

from genjax.models.gan.augment import ADA_TRANSFORMS, Augment
from genjax.models.gan.consistency import Consistency
from genjax.models.gan.cycle import CycleGAN
from genjax.models.gan.gan import GAN, GANSampling
from genjax.models.gan.standing import standing_statistics
from genjax.models.gan.stylegan import StyleGAN, StyleGANSampling

__all__ = [
    'ADA_TRANSFORMS',
    'GAN',
    'Augment',
    'Consistency',
    'CycleGAN',
    'GANSampling',
    'StyleGAN',
    'StyleGANSampling',
    'standing_statistics',
]
