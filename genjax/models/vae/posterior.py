"""What says which code an example may have."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.models import modules
from genjax.models.vae.likelihoods import soft_bound


class Posterior(NamedTuple):
    """The normal q(z|x) of each example, before a flow.

    Attributes:
        mean: [B, D].
        log_std: [B, D].
        context: what a flow is told of the example, [B, D]; None where there is no flow.
    """

    mean: Array
    log_std: Array
    context: Array | None = None


class GaussianHead(nn.Module):
    """An encoder with a linear layer for the mean and log standard deviation of its code.

    Attributes:
        network: data (and a label) to features [B, ...].
        latent_dim: dimensions of a code.
        has_context: whether it gives the context of a flow, too.
    """

    network: nn.Module
    latent_dim: int
    has_context: bool = False

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, train: bool = False) -> Posterior:
        """Maps x [B, ...] to the posterior, in float32."""
        options = modules.train_option(self.network, train)
        h = self.network(x, *(() if label is None else (label,)), **options)
        h = h.reshape(h.shape[0], -1).astype(jnp.float32)
        parts = 3 if self.has_context else 2
        h = nn.Dense(parts * self.latent_dim, name='head')(h)
        mean, log_std, *context = jnp.split(h, parts, axis=-1)
        return Posterior(mean, soft_bound(log_std), *context)
