"""The variational autoencoder: its options, networks and loss."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.vae.bounds import gaussian_kl_per_dim, gaussian_log_prob
from genjax.models.vae.inference import Inference
from genjax.models.vae.likelihoods import Bernoulli, Likelihood
from genjax.models.vae.objectives import BOUNDS, Draw, Metrics, Terms
from genjax.models.vae.posterior import start_head
from genjax.models.vae.priors import Prior, StandardNormal, VampPrior


@dataclass(frozen=True)
class VAE(Inference):
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
        bound = BOUNDS[self.bound]
        if self.flow is not None and (other := bound.with_flow) is not None:
            raise UserError(f'VAE.bound={self.bound!r} does not go with a flow: use {other!r}')
        if self.num_groups < 1 or self.num_samples % self.num_groups:
            raise UserError(
                f'VAE.num_groups={self.num_groups} does not divide num_samples={self.num_samples}'
            )
        if self.num_groups > 1 and not bound.importance_weighted:
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
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('vae', self._groups, self._loss),)

    @property
    def _groups(self) -> tuple[str, ...]:
        flow = () if self.flow is None else ('flow',)
        return ('encoder', 'decoder', *flow, *(('prior',) if self.prior.learned else ()))

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
        bound = BOUNDS[self.bound]
        loss = bound.loss(terms, self, batch)
        return loss, {'bound': -loss} if bound.importance_weighted else {}

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
