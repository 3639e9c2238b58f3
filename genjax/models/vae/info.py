"""The VAE with a divergence between all codes and the prior."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.base import Batch, Variables
from genjax.models.vae.objectives import Metrics, Terms
from genjax.models.vae.vae import VAE


def batch_mmd2(z: Array, prior: Array, mask: Array, bandwidth: Array | float) -> Array:
    """Unbiased estimate of the squared maximum mean discrepancy (Gretton et al., 2012, eq. 3) under
    the kernel exp(-‖a - b‖² / 2h²), a scalar.

    Args:
        z: codes [B, D].
        prior: draws from the prior [M, D].
        mask: bool [B], False for codes that do not count.
        bandwidth: h.
    """

    def kernel(a: Array, b: Array) -> Array:
        # No expansion into products: the gradient of close pairs would cancel.
        squared = jnp.sum((a[:, None] - b[None]) ** 2, axis=-1)
        return jnp.exp(-0.5 * squared / bandwidth**2)

    def within(a: Array, weight: Array) -> Array:
        pairs = weight[:, None] * weight * (1.0 - jnp.eye(len(a)))
        return jnp.sum(pairs * kernel(a, a)) / jnp.maximum(jnp.sum(pairs), 1.0)

    weight = mask.astype(jnp.float32)
    across = weight @ jnp.mean(kernel(z, prior), axis=1) / jnp.maximum(jnp.sum(weight), 1.0)
    return within(z, weight) + within(prior, jnp.ones(len(prior))) - 2.0 * across


@dataclass(frozen=True, kw_only=True)
class InfoVAE(VAE):
    """InfoVAE (Zhao et al., 2019): adds to the loss of a VAE the squared maximum mean discrepancy
    between the codes of the batch and draws from the prior, the metric 'mmd2'.

    In the paper's notation `beta` is 1 - α and `mmd` is α + λ - 1. MMD-VAE has beta=0: codes fill
    the prior as a whole, and each may tell all about its example. The loss of an example depends on
    the whole (micro-)batch.

    Attributes:
        mmd: weight of the discrepancy.
        bandwidth: of the Gaussian kernel; None: √latent_dim, the standard deviation of a code.
    """

    mmd: float = 10.0
    bandwidth: float | None = None

    def _objective(
        self, terms: Terms, variables: Variables, batch: Batch, key: Array
    ) -> tuple[Array, Metrics]:
        prior_key, key = jax.random.split(key)
        values, metrics = super()._objective(terms, variables, batch, key)
        mask = batch.get('mask', jnp.ones(len(values), bool))
        prior = self.prior_sample(variables, prior_key, len(values))
        width = math.sqrt(self.latent_dim) if self.bandwidth is None else self.bandwidth
        mmd2 = jnp.mean(jax.vmap(lambda z: batch_mmd2(z, prior, mask, width))(terms.draw.z))
        return values + self.mmd * mmd2, {**metrics, 'mmd2': mmd2}
