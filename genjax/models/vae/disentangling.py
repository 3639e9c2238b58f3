"""VAEs with a total-correlation penalty."""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.vae.bounds import gaussian_log_prob
from genjax.models.vae.objectives import Metrics, Terms
from genjax.models.vae.vae import VAE


def minibatch_log_marginals(
    z: Array, mean: Array, log_std: Array, mask: Array
) -> tuple[Array, Array]:
    """Estimates the log-density of codes under the aggregate posterior by the average over the
    batch's posteriors.

    Its gradient is that of "minibatch-weighted sampling" (Chen et al., 2018), which also divides by
    the size of the data set, a constant.

    Args:
        z: codes [B, D].
        mean: posterior means of the M examples, [M, D].
        log_std: posterior log standard deviations, [M, D].
        mask: [M], False for masked examples.

    Returns:
        log q(z) [B], and log q(z_d) of each dimension [B, D].
    """
    each = jax.vmap(jax.vmap(lambda z, m, s: gaussian_log_prob(z[None], m[None], s[None])))
    per_dim = jax.vmap(lambda code: each(jnp.broadcast_to(code, mean.shape), mean, log_std))(z)
    per_dim = jnp.where(mask[:, None], per_dim, -jnp.inf)
    normaliser = jnp.log(jnp.sum(mask))
    joint = jax.nn.logsumexp(jnp.sum(per_dim, axis=-1), axis=1) - normaliser
    return joint, jax.nn.logsumexp(per_dim, axis=1) - normaliser


@dataclass(frozen=True, kw_only=True)
class BetaTCVAE(VAE):
    """β-TC-VAE (Chen et al., 2018): decomposes the rate and weights the total correlation by
    `beta`.

    With log q(z) estimated from the batch, the rate of a sample is the sum of the metrics
    'mutual_information' log q(z|x) - log q(z), 'total_correlation' log q(z) - Σ log q(z_d), and
    'dimension_kl' Σ log q(z_d) - log p(z_d). The loss of an example depends on the whole batch.
    Small (micro-)batches give poor estimates; the mutual information is at most log(batch size).
    """

    def __post_init__(self):
        super().__post_init__()
        free_bits = not isinstance(self.free_bits, int | float) or self.free_bits > 0
        if self.flow is not None or self.bound != 'elbo' or free_bits:
            raise UserError("BetaTCVAE works with bound='elbo', without a flow and free bits")

    def _objective(
        self, terms: Terms, variables: Variables, batch: Batch, key: Array
    ) -> tuple[Array, Metrics]:
        del variables, key
        z, log_posterior, (mean, log_std, _) = terms.draw
        mask = batch.get('mask', jnp.ones(len(mean), bool))
        joint, marginals = jax.vmap(lambda z: minibatch_log_marginals(z, mean, log_std, mask))(z)
        product = jnp.sum(marginals, axis=-1)
        parts = {
            'mutual_information': jnp.mean(log_posterior - joint, axis=0),
            'total_correlation': jnp.mean(joint - product, axis=0),
            'dimension_kl': jnp.mean(product - terms.log_prior, axis=0),
        }
        rate = sum(parts.values()) + (self.beta - 1.0) * parts['total_correlation']
        return terms.distortion + rate, parts


def permute_dims(key: Array, z: Array) -> Array:
    """Shuffles each dimension of codes z [B, D] independently over the batch."""
    keys = jax.random.split(key, z.shape[-1])
    return jax.vmap(jax.random.permutation, in_axes=(0, 1), out_axes=1)(keys, z)


@dataclass(frozen=True, kw_only=True)
class FactorVAE(VAE):
    """FactorVAE (Kim & Mnih, 2018): a discriminator estimates the total correlation.

    Phases: 'vae' minimises the loss of a VAE plus gamma * D(z); D(z) is the logit that a code is
    from the posterior rather than from shuffled dimensions. Then 'discriminator' trains D on this
    classification. The 'vae' phase reports D(z) as 'total_correlation'.

    Attributes:
        discriminator: codes [B, latent_dim] to one logit per example, [B] or [B, 1].
        gamma: weight of the total correlation.
    """

    discriminator: nn.Module
    gamma: float = 10.0

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The autoencoder, then the discriminator."""
        discriminator = Phase('discriminator', ('discriminator',), self._discriminator_loss)
        return (*super().phases, discriminator)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables of the VAE and of the discriminator."""
        vae_key, key = jax.random.split(key)
        variables = super().init(vae_key, batch)
        z = jnp.zeros((len(batch['x']), self.latent_dim))
        new = flax_utils.initialise(key, {'discriminator': (self.discriminator, (z,))})
        return {name: {**variables[name], **new[name]} for name in variables}

    def _objective(
        self, terms: Terms, variables: Variables, batch: Batch, key: Array
    ) -> tuple[Array, Metrics]:
        values, metrics = super()._objective(terms, variables, batch, key)
        logits, _ = self._logits(variables, terms.draw.z, key)
        correlation = jnp.mean(logits, axis=0)
        return values + self.gamma * correlation, {**metrics, 'total_correlation': correlation}

    def _logits(self, variables: Variables, z: Array, key: Array) -> tuple[Array, Any]:
        """Computes logits [...] of codes z [..., D], and the new state."""
        logits, state = flax_utils.apply(
            self.discriminator, variables, 'discriminator', z.reshape(-1, self.latent_dim),
            train=True, key=key,
        )  # fmt: skip
        return logits.reshape(z.shape[:-1]).astype(jnp.float32), state

    def _discriminator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        first_key, second_key, permute_key, joint_key, product_key = jax.random.split(key, 5)
        first, second = (
            jax.lax.stop_gradient(self._draw(variables, batch, each)[0].z[0])
            for each in (first_key, second_key)
        )
        joint, state = self._logits(variables, first, joint_key)
        shuffled = permute_dims(permute_key, second)
        product, state = self._logits({**variables, 'state': state}, shuffled, product_key)
        values = 0.5 * (jax.nn.softplus(-joint) + jax.nn.softplus(product))
        accuracy = 0.5 * ((joint > 0).astype(jnp.float32) + (product < 0))
        return LossOutput(values, {'accuracy': accuracy}, state)
