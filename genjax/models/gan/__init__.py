"""Generative adversarial networks."""

from genjax.models.gan.gan import GAN

__all__ = ['GAN']
