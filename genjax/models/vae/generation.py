"""From codes to data: the prior p(z) and the likelihood p(x|z) of a VAE."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
from jax import Array

from genjax.models import conditions, flax_utils
from genjax.models.base import Values, Variables
from genjax.models.vae.likelihoods import FromStart, Likelihood, emitting
from genjax.models.vae.posterior import Posterior
from genjax.models.vae.priors import Prior


class Generation:
    """Methods of a `VAE` that draw from p(x|z) p(z) or compute its densities."""

    decoder: nn.Module
    latent_dim: int
    likelihood: Likelihood
    prior: Prior
    num_classes: int | None
    context_shape: tuple[int, ...] | None
    _encode_centred: Callable[..., Posterior]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.decoder, 'decoder')

    @property
    def data_values(self) -> Values | None:
        """The range of data that the likelihood supports."""
        return getattr(self.likelihood, 'data_values', None)

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws x ~ p(x|z), z ~ p(z): [num, *event]; missing labels are drawn uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        z, condition, x_key = self._prior_code(variables, key, num, label, context)
        return self.sample_given_code(variables, x_key, z, condition)

    def sample_mean(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the means of p(x|z) for the codes of `sample` with this key, [num, *event]."""
        z, condition, _ = self._prior_code(variables, key, num, label, context)
        return self.likelihood.mean(self._decode(variables, z, condition))

    def _prior_code(
        self,
        variables: Variables,
        key: Array,
        num: int,
        label: Array | None,
        context: Array | None,
    ) -> tuple[Array, Array | None, Array]:
        """Codes z ~ p(z), their conditions, and a key for x."""
        z_key, x_key, label_key = jax.random.split(key, 3)
        condition = conditions.to_sample(self, label_key, num, label, context)
        return self.prior_sample(variables, z_key, num), condition, x_key

    def prior_sample(self, variables: Variables, key: Array, num: int) -> Array:
        """Draws z ~ p(z): [num, latent_dim]."""
        encode = functools.partial(self._encode_centred, variables)
        params = variables['params'].get('prior', {})
        return self.prior.sample(params, encode, key, (num, self.latent_dim))

    def prior_log_prob(self, variables: Variables, z: Array) -> Array:
        """log p(z) [...] of codes z [..., latent_dim]."""
        encode = functools.partial(self._encode_centred, variables)
        return self.prior.log_prob(variables['params'].get('prior', {}), encode, z)

    def log_likelihood(
        self, variables: Variables, x: Array, z: Array, condition: Array | None = None
    ) -> Array:
        """log p(x|z) [B] of x [B, *event] and codes z [B, latent_dim]."""
        return self.likelihood.log_prob(self._decode(variables, z, condition), x)

    def sample_given_code(
        self, variables: Variables, key: Array, z: Array, condition: Array | None = None
    ) -> Array:
        """Draws x ~ p(x|z): [B, *event]."""
        return self.likelihood.sample(self._decode(variables, z, condition), key)

    def decode(
        self,
        variables: Variables,
        z: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the mean of p(x|z), [B, *event]; `key` is not used. A label or context takes the
        place of the one at the end of the code.
        """
        del key
        z, condition = conditions.split_code(self, z, label, context)
        return self.likelihood.mean(self._decode(variables, z, condition))

    @property
    def _decoder(self) -> nn.Module:
        decoder = emitting(self.decoder, self.likelihood)
        return FromStart(conditions.with_condition(decoder, self))

    def _decode(self, variables: Variables, z: Array, condition: Array | None = None) -> Array:
        return flax_utils.apply(self._decoder, variables, 'decoder', z, condition)[0]
