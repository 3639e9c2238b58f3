"""Objectives of VAEs: functions of the terms of the bound."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.vae.bounds import log_mean_exp, scale_gradient
from genjax.models.vae.posterior import Posterior

Metrics = Mapping[str, Array]


class Draw(NamedTuple):
    """K samples of the posteriors of a batch.

    Attributes:
        z: the codes, [K, B, D].
        log_prob: log q(z|x), [K, B].
        posterior: their distribution.
    """

    z: Array
    log_prob: Array
    posterior: Posterior


class Terms(NamedTuple):
    """Terms of a VAE's objectives.

    Attributes:
        draw: the posterior and its samples.
        log_likelihood: log p(x|z), [K, B].
        log_prior: log p(z), [K, B].
        rate_per_dim: KL(q ‖ p) of each dimension, [B, D], where it has a closed form.
        log_weights: codes [K, B, D] to log p(x|z) + β (log p(z) - log q(z|x)), [K, B], with q held
            constant.
    """

    draw: Draw
    log_likelihood: Array
    log_prior: Array
    rate_per_dim: Array | None
    log_weights: Callable[[Array], Array]

    @property
    def distortion(self) -> Array:
        """-log p(x|z), averaged over the samples, [B]."""
        return -jnp.mean(self.log_likelihood, axis=0)

    @property
    def rate(self) -> Array:
        """KL(q ‖ p) [B], in closed form or averaged over the samples."""
        if self.rate_per_dim is not None:
            return jnp.sum(self.rate_per_dim, axis=-1)
        return jnp.mean(self.draw.log_prob - self.log_prior, axis=0)


def weighted_elbo(
    terms: Terms, beta: Array | float = 1.0, free_bits: Array | float | None = None
) -> Array:
    """Distortion + beta * rate, [B].

    Args:
        terms: the terms.
        beta: weight of the rate.
        free_bits: minimum rate of a dimension in nats: lower rates give no further gain. None if
            the rate has no closed form.
    """
    if free_bits is None or terms.rate_per_dim is None:
        return terms.distortion + beta * terms.rate
    # Rates are non-negative: free_bits = 0 changes nothing.
    rate = jnp.sum(jnp.maximum(terms.rate_per_dim, free_bits), axis=-1)
    return terms.distortion + beta * rate


def importance_weighted(
    terms: Terms, beta: Array | float = 1.0, doubly_reparameterised: bool = False
) -> Array:
    """Computes the negated importance-weighted bound, [B], with the standard or the doubly
    reparameterised gradient.
    """
    if doubly_reparameterised:
        return -dreg_surrogate(terms.log_weights, terms.draw.z)
    return -log_mean_exp(terms.log_likelihood + beta * (terms.log_prior - terms.draw.log_prob))


def dreg_surrogate(log_weights: Callable[[Array], Array], z: Array) -> Array:
    """Importance-weighted bound with the doubly reparameterised gradient (Tucker et al., 2019).

    With w̃ the normalised weights, the model's parameters receive the usual gradient Σ w̃ ∂log w and
    the posterior's Σ w̃² ∂log w/∂z ∂z/∂φ: the same expectation, with a signal-to-noise ratio that
    grows with the number of samples.

    Args:
        log_weights: z [K, B, D] -> log p(x, z) - log q(z|x) [K, B], in which q must be a constant.
        z: [K, B, D], reparameterised: a differentiable function of the posterior's parameters.

    Returns:
        [B]; its value is `log_mean_exp(log_weights(z))`.
    """
    # Both calls compute the same values; the compiler merges them.
    shares = jax.lax.stop_gradient(jax.nn.softmax(log_weights(z), axis=0))
    weights = log_weights(scale_gradient(z, shares[..., None]))
    surrogate = jnp.sum(shares * weights, axis=0)
    constant = jax.lax.stop_gradient(log_mean_exp(weights) - surrogate)
    return constant + surrogate
