"""The variational autoencoder."""

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.precision import full_precision
from genjax.models.vae.bounds import (
    gaussian_kl_per_dim,
    gaussian_log_prob,
    streaming_log_mean_exp,
)
from genjax.models.vae.likelihoods import Bernoulli, FromStart, Likelihood, emitting, is_density
from genjax.models.vae.objectives import (
    Draw,
    Metrics,
    Terms,
    dreg_surrogate,
    importance_weighted,
    partially_importance_weighted,
    sticking_the_landing,
    weighted_elbo,
    with_free_bits,
)
from genjax.models.vae.posterior import GaussianHead, Posterior, start_head
from genjax.models.vae.priors import Prior, StandardNormal, VampPrior

_ROWS = 4096  # decoder rows per chunk in `log_prob`, to bound its memory
_CLASS_SAMPLES = 16  # posterior samples per class when `encode` infers the class of an example
BOUNDS = ('elbo', 'stl', 'iwae', 'dreg', 'piwae')
_HOLD_POSTERIOR = {'stl': 'elbo', 'dreg': 'iwae'}  # and the bound for a posterior with a flow


@dataclass(frozen=True)
class VAE:
    """A variational autoencoder (Kingma & Welling, 2014; Rezende et al., 2014).

    Parameter groups: 'encoder', 'decoder', and 'prior' and 'flow' if these are learned. Metrics:
    'distortion' -log p(x|z), 'rate' KL(q ‖ p), 'elbo' their negated sum, in nats per example for
    every `beta` and `bound`, given the class or context of a conditional model.

    The decoder's output is added to the likelihood's parameters at the mean of the first batch
    (Burda et al., 2016, initialise the last bias so): this prevents an early collapse of latent
    dimensions.

    Attributes:
        encoder: data to features [B, ...]; a linear head to the posterior is added.
        decoder: codes [B, latent_dim] to [B, *shape]; its field `shape` is the shape of one
            example. It is cloned with the last dimension times the width of the likelihood.
        latent_dim: dimension of a code.
        likelihood: the distribution of data given the decoder's output.
        beta: weight of the rate (Higgins et al., 2017); with 'iwae', of log p(z) - log q(z|x) in
            the importance weights. 1 is the bound itself.
        bound: 'elbo'; 'stl', its estimate from samples whose gradient "sticks the landing" (Roeder
            et al., 2017); 'iwae', the importance-weighted bound (Burda et al., 2016); 'dreg', the
            same bound with the doubly reparameterised gradient (Tucker et al., 2019); or 'piwae',
            with all samples for the decoder and groups of them for the encoder (Rainforth et al.,
            2018).
        num_samples: posterior samples per example in training.
        eval_samples: posterior samples per example (and class) in `log_prob`.
        prior: the distribution of codes.
        flow: transforms the Gaussian posterior, such as `InverseAutoregressive`: codes [B, D] and a
            context [B, D] of the encoder to codes and log-determinants [B].
        free_bits: nats of each dimension's rate without penalty (Kingma et al., 2016).
        free_bits_over: compare `free_bits` with the rate of each 'example', or with its mean over
            the (micro-)'batch', as in the paper.
        num_groups: groups of the `num_samples` whose importance-weighted bounds are averaged
            (MIWAE, Rainforth et al., 2018).
        elbo_share: weight of the ELBO beside the 'iwae' bound (CIWAE, Rainforth et al., 2018).
        num_classes: if given, encoder and decoder are cloned with this `num_classes` and take a
            label, which is uniform a priori and independent of the code.
        context_shape: if given, they are cloned with it and take a context of this shape.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent_dim: int
    likelihood: Likelihood = field(default_factory=Bernoulli)
    beta: float = 1.0
    bound: Literal['elbo', 'stl', 'iwae', 'dreg', 'piwae'] = 'elbo'
    num_samples: int = 1
    eval_samples: int = 500
    prior: Prior = field(default_factory=StandardNormal)
    flow: nn.Module | None = None
    free_bits: float = 0.0
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None
    free_bits_over: Literal['example', 'batch'] = 'example'
    num_groups: int = 1
    elbo_share: float | None = None

    FREE: ClassVar[tuple[str, ...]] = ('eval_samples',)

    def __post_init__(self):
        flax_utils.event_shape(self.decoder, 'decoder')
        if self.bound not in BOUNDS:
            raise UserError(f'VAE.bound is one of {", ".join(BOUNDS)}, not {self.bound!r}')
        for name in ('latent_dim', 'num_samples', 'eval_samples'):
            if getattr(self, name) < 1:
                raise UserError(f'VAE.{name} must be at least 1, not {getattr(self, name)}')
        if self.flow is not None and self.bound in _HOLD_POSTERIOR:
            other = _HOLD_POSTERIOR[self.bound]
            raise UserError(f'VAE.bound={self.bound!r} does not go with a flow: use {other!r}')
        if self.num_groups < 1 or self.num_samples % self.num_groups:
            raise UserError(
                f'VAE.num_groups={self.num_groups} does not divide num_samples={self.num_samples}'
            )
        if self.num_groups > 1 and self.bound in ('elbo', 'stl'):
            raise UserError("VAE.num_groups is for the bounds 'iwae', 'dreg' and 'piwae'")
        if self.elbo_share is not None and self.bound != 'iwae':
            raise UserError("VAE.elbo_share is for the bound 'iwae'")
        if self.flow is not None and isinstance(self.prior, VampPrior):
            raise UserError('VampPrior mixes Gaussian posteriors: it does not go with a flow')
        free_bits = not isinstance(self.free_bits, int | float) or self.free_bits > 0
        if free_bits and (self.bound != 'elbo' or not self._has_closed_rate):
            raise UserError(
                "VAE.free_bits needs the rate of each dimension: bound='elbo', no flow, and the "
                'prior StandardNormal'
            )
        conditions.check(self, encoder=self.encoder, decoder=self.decoder)
        if self.prior.learned and conditions.is_conditional(self):
            raise UserError('a conditional VAE goes with the prior StandardNormal only')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.decoder, 'decoder')

    @property
    def data_values(self) -> Values | None:
        """The range of data that the likelihood supports."""
        return getattr(self.likelihood, 'data_values', None)

    @property
    def log_prob_method(self) -> str:
        """Name of the `log_prob` estimator, for tables."""
        bound = f'IWAE-{self.eval_samples}'
        return (
            bound if self.num_classes is None else f'{bound} for each of {self.num_classes} classes'
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('vae', self._groups, self._loss),)

    @property
    def _groups(self) -> tuple[str, ...]:
        flow = () if self.flow is None else ('flow',)
        return ('encoder', 'decoder', *flow, *(('prior',) if self.prior.learned else ()))

    @property
    def _has_closed_rate(self) -> bool:
        return self.flow is None and isinstance(self.prior, StandardNormal)

    @property
    def _posterior(self) -> GaussianHead:
        encoder = conditions.with_condition(self.encoder, self)
        return GaussianHead(encoder, self.latent_dim, has_context=self.flow is not None)

    @property
    def _decoder(self) -> nn.Module:
        decoder = emitting(self.decoder, self.likelihood)
        return FromStart(conditions.with_condition(decoder, self))

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes and dtypes, and its data initialise the
        posterior, the decoder and the prior.

        Raises:
            UserError: the data do not have the label or context of the model.
        """
        z = jnp.zeros((len(batch['x']), self.latent_dim))
        x = self.likelihood.centre(batch['x'])
        condition = conditions.of_batch(self, batch)
        networks = {
            'encoder': (self._posterior, (x, condition)),
            'decoder': (self._decoder, (z, condition)),
        }
        if self.flow is not None:
            networks['flow'] = (self.flow, (z, z))
        variables = flax_utils.initialise(key, networks)
        variables['state']['decoder']['constants']['start'] = self.likelihood.start(batch['x'])
        variables['params']['encoder'] = start_head(
            variables['params']['encoder'], self._encode_centred(variables, x, condition)
        )
        if self.prior.learned:
            prior_key = jax.random.fold_in(key, 1)
            variables['params']['prior'] = self.prior.init(prior_key, self.latent_dim, x)
        return variables

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

    def _encode(self, variables: Variables, x: Array, condition: Array | None = None) -> Posterior:
        return self._encode_centred(variables, self.likelihood.centre(x), condition)

    def _encode_centred(
        self, variables: Variables, x: Array, condition: Array | None = None
    ) -> Posterior:
        return flax_utils.apply(self._posterior, variables, 'encoder', x, condition)[0]

    def _decode(self, variables: Variables, z: Array, condition: Array | None = None) -> Array:
        return flax_utils.apply(self._decoder, variables, 'decoder', z, condition)[0]

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

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        terms_key, objective_key = jax.random.split(key)
        terms, state = self._terms(variables, batch, terms_key)
        values, metrics = self._objective(terms, variables, batch, objective_key)
        rate, distortion = terms.rate, terms.distortion
        bound = {'elbo': -distortion - rate, 'rate': rate, 'distortion': distortion}
        return LossOutput(values, {**bound, **metrics}, state)

    def _objective(
        self, terms: Terms, variables: Variables, batch: Batch, key: Array
    ) -> tuple[Array, Metrics]:
        """Computes the loss [B] and further metrics; subclasses may override it."""
        del variables, key
        if self.bound == 'elbo':
            return weighted_elbo(terms, self.beta, self._rate(terms, batch)), {}
        if self.bound == 'stl':
            return sticking_the_landing(terms), {}
        if self.bound == 'dreg':
            loss = -dreg_surrogate(terms.log_weights, terms.draw.z, self.num_groups)
        elif self.bound == 'piwae':
            loss = partially_importance_weighted(terms, self.num_groups)
        else:
            loss = importance_weighted(terms, self.beta, self.num_groups, self.elbo_share)
        return loss, {'bound': -loss}

    def _rate(self, terms: Terms, batch: Batch) -> Array | None:
        """The rates [B] of the loss; None without a closed form."""
        if terms.rate_per_dim is None:
            return None
        # Rates are non-negative: free_bits = 0 changes nothing.
        mask = batch.get('mask', jnp.ones(len(batch['x']), bool))
        mask = mask if self.free_bits_over == 'batch' else None
        return with_free_bits(terms.rate_per_dim, self.free_bits, mask)

    def _draw(self, variables: Variables, batch: Batch, key: Array) -> tuple[Draw, Any]:
        """Encodes a batch in training and draws codes; returns the new state, too."""
        noise_key, encoder_key = jax.random.split(key)
        posterior, state = flax_utils.apply(
            self._posterior, variables, 'encoder', self.likelihood.centre(batch['x']),
            conditions.of_batch(self, batch), train=True, key=encoder_key,
        )  # fmt: skip
        noise = jax.random.normal(noise_key, (self.num_samples, *posterior.mean.shape))
        return Draw(*self._codes(variables, posterior, noise), posterior), state

    def _terms(self, variables: Variables, batch: Batch, key: Array) -> tuple[Terms, Any]:
        """Encodes, draws and decodes in training; returns the terms and the new state."""
        draw_key, decoder_key = jax.random.split(key)
        draw, state = self._draw(variables, batch, draw_key)
        posterior, samples = draw.posterior, self.num_samples
        variables = {**variables, 'state': state}
        rows = batch['x'], conditions.of_batch(self, batch)
        x, condition = jax.tree.map(lambda a: jnp.tile(a, (samples,) + (1,) * (a.ndim - 1)), rows)

        def log_joint(z: Array, variables: Variables = variables) -> tuple[Array, Array, Any]:
            flat = z.reshape(-1, self.latent_dim)
            params, state = flax_utils.apply(
                self._decoder, variables, 'decoder', flat, condition, train=True, key=decoder_key
            )
            log_likelihood = self.likelihood.log_prob(params, x)
            return log_likelihood.reshape(samples, -1), self.prior_log_prob(variables, z), state

        def log_weights(z: Array) -> Array:
            log_likelihood, log_prior, _ = log_joint(z)
            log_q = gaussian_log_prob(z, *jax.lax.stop_gradient(posterior[:2]))
            return log_likelihood + self.beta * (log_prior - log_q)

        def log_weights_of_posterior() -> Array:
            params = jax.lax.stop_gradient(variables['params'])
            log_likelihood, log_prior, _ = log_joint(draw.z, {**variables, 'params': params})
            return log_likelihood + self.beta * (log_prior - draw.log_prob)

        log_likelihood, log_prior, state = log_joint(draw.z)
        rates = gaussian_kl_per_dim(*posterior[:2]) if self._has_closed_rate else None
        terms = Terms(draw, log_likelihood, log_prior, rates, log_weights, log_weights_of_posterior)
        return terms, state
