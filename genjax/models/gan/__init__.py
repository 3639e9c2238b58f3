"""Generative adversarial networks."""

from genjax.models.gan.augment import Augment
from genjax.models.gan.cycle import CycleGAN
from genjax.models.gan.gan import GAN
from genjax.models.gan.stylegan import StyleGAN, StyleGANSampling

__all__ = ['GAN', 'Augment', 'CycleGAN', 'StyleGAN', 'StyleGANSampling']
