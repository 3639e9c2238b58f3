"""Likelihood regret: the gain of a posterior fitted to one example alone."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions
from genjax.models.base import Variables
from genjax.models.precision import full_precision
from genjax.models.vae.bounds import gaussian_log_prob
from genjax.models.vae.vae import VAE

_TRAIN_SAMPLES, _SAMPLES = 1, 64  # of the posterior: for a step, and for the gain


@full_precision
def likelihood_regret(
    model: VAE,
    variables: Variables,
    x: Array,
    key: Array,
    *,
    steps: int = 100,
    learning_rate: float = 0.1,
) -> Array:
    """Computes max_q ELBO(x; q) - ELBO(x; q(z|x)) of each example, in nats, over Gaussian q with
    diagonal covariance (Xiao et al., "Likelihood regret: an out-of-distribution detection score for
    variational auto-encoder", 2020, of which this is the variant that optimises q, not the
    encoder). The maximum is found by Adam from q(z|x); its gain is estimated with other samples.

    Args:
        model: a VAE of p(x), without a flow.
        variables: its variables.
        x: examples as the model takes them, [B, *event].
        key: PRNG key.
        steps: updates of Adam.
        learning_rate: initial step size in units of z and of log-scale, decays to 0 (cosine).

    Returns:
        [B]

    Raises:
        UserError: the posterior has a flow, or the model is conditional.
    """
    if model.flow is not None or conditions.is_conditional(model):
        raise UserError('likelihood_regret needs a VAE without a flow, labels and contexts')
    start = tuple(model.posterior(variables, x)[:2])
    train_key, key = jax.random.split(key)

    def elbo(q: tuple[Array, Array], key: Array, samples: int) -> Array:
        noise = jax.random.normal(key, (samples, *q[0].shape))
        z = q[0] + jnp.exp(q[1]) * noise
        log_likelihood = jax.vmap(lambda z: model.log_likelihood(variables, x, z))(z)
        log_ratio = model.prior_log_prob(variables, z) - gaussian_log_prob(z, *q)
        return jnp.mean(log_likelihood + log_ratio, axis=0)

    adam = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def update(carry: tuple, key: Array) -> tuple[tuple, None]:
        q, state = carry
        # Adam treats each number by itself, so that examples do not depend on each other.
        gradient = jax.grad(lambda q: -jnp.sum(elbo(q, key, _TRAIN_SAMPLES)))(q)
        updates, state = adam.update(gradient, state)
        return (optax.apply_updates(q, updates), state), None

    keys = jax.random.split(train_key, steps)
    (best, _), _ = jax.lax.scan(update, (start, adam.init(start)), keys)
    return elbo(best, key, _SAMPLES) - elbo(start, key, _SAMPLES)
