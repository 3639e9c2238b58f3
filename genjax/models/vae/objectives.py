"""Objectives of VAEs: functions of the terms of the bound."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.base import Batch
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
        log_weights_of_posterior: the same of the draw, with the decoder and the prior held
            constant, and not q.
    """

    draw: Draw
    log_likelihood: Array
    log_prior: Array
    rate_per_dim: Array | None
    log_weights: Callable[[Array], Array]
    log_weights_of_posterior: Callable[[], Array]

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


def weighted_elbo(terms: Terms, beta: Array | float = 1.0, rate: Array | None = None) -> Array:
    """Distortion + beta * rate, [B]; `rate` [B] replaces that of the terms."""
    return terms.distortion + beta * (terms.rate if rate is None else rate)


def with_free_bits(rates: Array, free_bits: Array | float, mask: Array | None = None) -> Array:
    """Sums the rates [B, G] of groups; those below `free_bits` cost `free_bits` and have no
    gradient.

    Args:
        rates: the rates in nats.
        free_bits: nats of each group.
        mask: examples, bool [B], over which the rates are averaged before they are compared with
            `free_bits` (Kingma et al., 2016, eq. 15): the mean of the result is the sum of
            max(free_bits, mean rate of a group). None: each example's rates are compared.
    """
    if mask is None:
        return jnp.sum(jnp.maximum(rates, free_bits), axis=-1)
    total = jnp.sum(jnp.where(mask[:, None], rates, 0.0), axis=0)
    means = total / jnp.maximum(jnp.sum(mask), 1)
    return jnp.sum(jnp.where(means > free_bits, rates, free_bits), axis=-1)


def sticking_the_landing(terms: Terms) -> Array:
    """Computes the negated bound of the samples, [B], without the gradient of log q(z|x) with
    respect to the posterior's parameters at fixed z, whose expectation is zero (Roeder et al.,
    2017): at the exact posterior the gradient that is left has no variance.
    """
    return -jnp.mean(terms.log_weights(terms.draw.z), axis=0)


def importance_weighted(
    terms: Terms,
    beta: Array | float = 1.0,
    num_groups: int = 1,
    elbo_share: Array | float | None = None,
) -> Array:
    """Computes the negated importance-weighted bound (Burda et al., 2016), averaged over groups of
    samples, [B]: MIWAE of Rainforth et al., "Tighter variational bounds are not necessarily
    better", 2018.

    Args:
        terms: the terms.
        beta: exponent of p(z) / q(z|x) in the weights.
        num_groups: number of groups.
        elbo_share: weight of the mean log-weight, the ELBO, beside this bound (CIWAE).
    """
    log_weights = terms.log_likelihood + beta * (terms.log_prior - terms.draw.log_prob)
    bound = mean_bound(log_weights, num_groups)
    if elbo_share is not None:
        bound = elbo_share * jnp.mean(log_weights, axis=0) + (1.0 - elbo_share) * bound
    return -bound


def mean_bound(log_weights: Array, num_groups: int) -> Array:
    """`log_mean_exp` of the log-weights [K, B] of each group, averaged over the groups, [B]."""
    groups = log_weights.reshape(num_groups, -1, *log_weights.shape[1:])
    return jnp.mean(log_mean_exp(groups, axis=1), axis=0)


def partially_importance_weighted(terms: Terms, num_groups: int) -> Array:
    """Computes the negated importance-weighted bound of all samples, [B], with its gradient for the
    decoder and the prior, and that of the mean over groups for the posterior (PIWAE, Rainforth et
    al., 2018): more samples sharpen the one and leave less signal in the other.
    """
    bound = mean_bound(terms.log_weights(jax.lax.stop_gradient(terms.draw.z)), 1)
    grouped = mean_bound(terms.log_weights_of_posterior(), num_groups)
    return -(bound + grouped - jax.lax.stop_gradient(grouped))


def dreg_surrogate(log_weights: Callable[[Array], Array], z: Array, num_groups: int = 1) -> Array:
    """Importance-weighted bound with the doubly reparameterised gradient (Tucker et al., 2019).

    With w̃ the normalised weights, the model's parameters receive the usual gradient Σ w̃ ∂log w and
    the posterior's Σ w̃² ∂log w/∂z ∂z/∂φ: the same expectation, with a signal-to-noise ratio that
    grows with the number of samples.

    Args:
        log_weights: z [K, B, D] -> log p(x, z) - log q(z|x) [K, B], in which q must be a constant.
        z: [K, B, D], reparameterised: a differentiable function of the posterior's parameters.
        num_groups: number of groups of samples whose bounds are averaged.

    Returns:
        [B]; its value is `mean_bound(log_weights(z), num_groups)`.
    """
    # Both calls compute the same values; the compiler merges them.
    grouped = log_weights(z).reshape(num_groups, -1, z.shape[1])
    shares = jax.lax.stop_gradient(jax.nn.softmax(grouped, axis=1).reshape(z.shape[:2]))
    weights = log_weights(scale_gradient(z, shares[..., None]))
    surrogate = jnp.sum(shares * weights, axis=0) / num_groups
    constant = jax.lax.stop_gradient(mean_bound(weights, num_groups) - surrogate)
    return constant + surrogate


class Options(Protocol):
    """The options of a `VAE` that its bounds use."""

    beta: float
    free_bits: float
    free_bits_over: str
    num_groups: int
    elbo_share: float | None


class Bound(NamedTuple):
    """A choice of `VAE.bound`.

    Attributes:
        loss: the negated bound [B].
        importance_weighted: of several samples together, which may be in groups.
        with_flow: the bound of the same value that goes with a flow; None: this one does. The
            others need the density of given codes.
    """

    loss: Callable[[Terms, Options, Batch], Array]
    importance_weighted: bool = False
    with_flow: str | None = None


def _elbo(terms: Terms, vae: Options, batch: Batch) -> Array:
    if terms.rate_per_dim is None:
        return weighted_elbo(terms, vae.beta)
    # Rates are non-negative: free_bits = 0 changes nothing.
    mask = batch.get('mask', jnp.ones(len(batch['x']), bool))
    mask = mask if vae.free_bits_over == 'batch' else None
    return weighted_elbo(terms, vae.beta, with_free_bits(terms.rate_per_dim, vae.free_bits, mask))


BOUNDS = {
    'elbo': Bound(_elbo),
    'stl': Bound(lambda terms, vae, batch: sticking_the_landing(terms), with_flow='elbo'),
    'iwae': Bound(
        lambda terms, vae, batch: importance_weighted(
            terms, vae.beta, vae.num_groups, vae.elbo_share
        ),
        importance_weighted=True,
    ),
    'dreg': Bound(
        lambda terms, vae, batch: -dreg_surrogate(terms.log_weights, terms.draw.z, vae.num_groups),
        importance_weighted=True,
        with_flow='iwae',
    ),
    'piwae': Bound(
        lambda terms, vae, batch: partially_importance_weighted(terms, vae.num_groups),
        importance_weighted=True,
    ),
}
"""By name."""
