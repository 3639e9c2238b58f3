"""From data to codes: the posterior q(z|x) of a VAE, and its bounds on log p(x)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, flax_utils
from genjax.models.base import LogProb, Variables
from genjax.models.precision import full_precision
from genjax.models.vae.bounds import (
    gaussian_kl_per_dim,
    gaussian_log_prob,
    streaming_log_mean_exp,
)
from genjax.models.vae.generation import Generation
from genjax.models.vae.likelihoods import is_density
from genjax.models.vae.posterior import GaussianHead, Posterior
from genjax.models.vae.priors import StandardNormal

_ROWS = 4096  # decoder rows per chunk in `log_prob`, to bound its memory
_CLASS_SAMPLES = 16  # posterior samples per class when `encode` infers the class of an example


class Inference(Generation):
    """Methods of a `VAE` that use the posterior, which may have a flow."""

    encoder: nn.Module
    flow: nn.Module | None
    eval_samples: int

    @property
    def log_prob_method(self) -> str:
        """Name of the `log_prob` estimator, for tables."""
        bound = f'IWAE-{self.eval_samples}'
        return (
            bound if self.num_classes is None else f'{bound} for each of {self.num_classes} classes'
        )

    @full_precision
    def log_prob(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> LogProb:
        """Computes the importance-weighted lower bound [B] of log p(x | label or context) with
        `eval_samples` posterior samples, in constant memory.

        Without a label, p(x) is the uniform mixture over classes, with `eval_samples` per class.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        bound = functools.partial(self._importance_weighted, variables, x, key, self.eval_samples)
        value = conditions.mixture(self, bound, len(x), label, context)
        return LogProb(value, 'lower_bound', is_density(self.likelihood))

    @full_precision
    def posterior(
        self, variables: Variables, x: Array, condition: Array | None = None
    ) -> Posterior:
        """Computes mean and log standard deviation [B, latent_dim] of q(z|x), before a flow."""
        return self._encode(variables, x, condition)

    @full_precision
    def rate_distortion(
        self, variables: Variables, x: Array, key: Array, condition: Array | None = None
    ) -> tuple[Array, Array]:
        """Computes the rate KL(q(z|x) ‖ p(z)) and the distortion -E log p(x|z), in nats, [B] each;
        their negated sum is the ELBO. Uses the rate's closed form if there is one, and one
        posterior sample otherwise.
        """
        posterior = self._encode(variables, x, condition)
        noise = jax.random.normal(key, (1, *posterior.mean.shape))
        (z,), (log_q,) = self._codes(variables, posterior, noise)
        if self._has_closed_rate:
            rate = jnp.sum(gaussian_kl_per_dim(*posterior[:2]), axis=-1)
        else:
            rate = log_q - self.prior_log_prob(variables, z)
        return rate, -self.log_likelihood(variables, x, z, condition)

    def encode(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws z [B, latent_dim] from the posterior of x.

        A conditional model appends the one-hot label or flattened context, with F elements:
        [B, latent_dim + F]. A label that is not given is the most likely class.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        noise_key, class_key = jax.random.split(key)
        bound = functools.partial(
            self._importance_weighted, variables, x, class_key, _CLASS_SAMPLES
        )
        condition = conditions.given_or_likely(self, bound, len(x), label, context)
        noise = jax.random.normal(noise_key, (1, len(x), self.latent_dim))
        (z,), _ = self._codes(variables, self._encode(variables, x, condition), noise)
        return z if condition is None else jnp.concatenate([z, condition], axis=-1)

    def code_moments(self, variables: Variables, x: Array) -> tuple[Array, Array]:
        """Computes mean and standard deviation [B, latent_dim] of q(z|x), before a flow."""
        posterior = self.posterior(variables, x)
        return posterior.mean, jnp.exp(posterior.log_std)

    def features(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the posterior mean (before a flow), [B, latent_dim]; without a label, its
        average over classes.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        condition = conditions.given(self, label, context)
        if condition is not None or not conditions.is_conditional(self):
            return self._encode(variables, x, condition).mean

        def mean(condition: Array) -> Array:
            condition = jnp.broadcast_to(condition, (len(x), self.num_classes))
            return self._encode(variables, x, condition).mean

        return jnp.mean(jax.lax.map(mean, jnp.eye(self.num_classes)), axis=0)

    @property
    def _posterior(self) -> GaussianHead:
        encoder = conditions.with_condition(self.encoder, self)
        return GaussianHead(encoder, self.latent_dim, has_context=self.flow is not None)

    @property
    def _has_closed_rate(self) -> bool:
        return self.flow is None and isinstance(self.prior, StandardNormal)

    def _encode(self, variables: Variables, x: Array, condition: Array | None = None) -> Posterior:
        return self._encode_centred(variables, self.likelihood.centre(x), condition)

    def _encode_centred(
        self, variables: Variables, x: Array, condition: Array | None = None
    ) -> Posterior:
        return flax_utils.apply(self._posterior, variables, 'encoder', x, condition)[0]

    def _codes(
        self, variables: Variables, posterior: Posterior, noise: Array
    ) -> tuple[Array, Array]:
        """Maps noise [K, B, D] to codes z, with log q(z|x) [K, B]."""
        z = posterior.mean + jnp.exp(posterior.log_std) * noise
        log_q = gaussian_log_prob(noise) - jnp.sum(posterior.log_std, axis=-1)
        if self.flow is None:
            return z, log_q
        flow = functools.partial(flax_utils.apply, self.flow, variables, 'flow')
        z, log_det = jax.vmap(lambda z: flow(z, posterior.context)[0])(z)
        return z, log_q - log_det

    def _importance_weighted(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        num_samples: int,
        condition: Array | None = None,
    ) -> Array:
        """Computes the log of the mean of p(x, z) / q(z|x) over posterior samples, [B]."""
        posterior = self._encode(variables, x, condition)

        def log_weights(key: Array) -> Array:
            noise = jax.random.normal(key, (1, len(x), self.latent_dim))
            (z,), (log_q,) = self._codes(variables, posterior, noise)
            log_likelihood = self.log_likelihood(variables, x, z, condition)
            return log_likelihood + self.prior_log_prob(variables, z) - log_q

        keys = jax.random.split(key, num_samples)
        return streaming_log_mean_exp(jax.vmap(log_weights), keys, len(x), _ROWS)
