"""The deep hierarchical variational autoencoder."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.precision import full_precision
from genjax.models.vae.bounds import streaming_log_mean_exp
from genjax.models.vae.decoded import DecodedPrior
from genjax.models.vae.likelihoods import Bernoulli, Likelihood, emitting, is_density
from genjax.models.vae.objectives import with_free_bits
from genjax.networks.ladder import Climb, Levels

_ROWS = 4096  # rows per chunk in `log_prob`


@dataclass(frozen=True)
class LadderVAE(DecodedPrior):
    """A hierarchical VAE: levels of codes, each conditioned on those above, with a top-down
    posterior that shares the prior's ladder (Sønderby et al., 2016; VDVAE, Child, 2021).

    Parameter groups: 'encoder', 'ladder', 'decoder'. Metrics: those of `VAE`, and 'rate_1' … of
    each level, the top one first.

    Attributes:
        encoder: data to features [B, ...].
        ladder: the levels: `Ladder`, of vectors, or `ConvLadder`, of maps, for an encoder that
            gives maps, such as `ConvNet`.
        decoder: the ladder's stream [B, *stream] to [B, *shape]; its field `shape` is the shape of
            one example. It is cloned with the last dimension times the width of the likelihood.
        likelihood: the distribution of data given the decoder's output.
        beta: weight of the rate.
        free_bits: nats of each level's rate without penalty.
        free_bits_over: compare `free_bits` with the rate of each 'example', or with its mean over
            the (micro-)'batch' (Kingma et al., 2016).
        eval_samples: posterior samples per example in `log_prob`.
    """

    encoder: nn.Module
    ladder: Levels
    decoder: nn.Module
    likelihood: Likelihood = field(default_factory=Bernoulli)
    beta: float = 1.0
    free_bits: float = 0.0
    eval_samples: int = 500
    free_bits_over: Literal['example', 'batch'] = 'example'

    FREE: ClassVar[tuple[str, ...]] = ('eval_samples',)

    def __post_init__(self):
        flax_utils.event_shape(self.decoder, 'decoder')
        if self.eval_samples < 1:
            raise UserError(f'LadderVAE.eval_samples must be at least 1, not {self.eval_samples}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.decoder, 'decoder')

    @property
    def data_values(self) -> Values | None:
        """The range of data that the likelihood supports."""
        return getattr(self.likelihood, 'data_values', None)

    @property
    def latent_dim(self) -> int:
        """Dimension of the codes of all levels together."""
        return sum(self.ladder.code_dims)

    @property
    def log_prob_method(self) -> str:
        """Name of the `log_prob` estimator, for tables."""
        return f'IWAE-{self.eval_samples}'

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('vae', ('encoder', 'ladder', 'decoder'), self._loss),)

    @property
    def _decoder(self) -> nn.Module:
        return emitting(self.decoder, self.likelihood)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes and dtypes only."""
        x = self.likelihood.centre(batch['x'])
        encoder_key, key = jax.random.split(key)
        variables = flax_utils.initialise(encoder_key, {'encoder': (self.encoder, (x,))})
        features, _ = flax_utils.apply(self.encoder, variables, 'encoder', x)
        features = features.astype(jnp.float32)
        noise = jnp.zeros((len(x), self.latent_dim))
        hidden = jnp.zeros((len(x), *self.ladder.stream))
        rest = flax_utils.initialise(
            key,
            {'ladder': (self.ladder, (features, noise)), 'decoder': (self._decoder, (hidden,))},
        )
        return {name: {**variables[name], **rest[name]} for name in variables}

    def _prior_decoded(self, variables: Variables, key: Array, num: int) -> tuple[Array, Array]:
        """Returns the parameters of p(x|z) for z ~ p(z), and a key for x."""
        z_key, x_key = jax.random.split(key)
        noise = jax.random.normal(z_key, (num, self.latent_dim))
        _, hidden = flax_utils.apply(self.ladder, variables, 'ladder', noise, method='generate')[0]
        return self._decode(variables, hidden), x_key

    @full_precision
    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes the importance-weighted lower bound [B] of log p(x) with `eval_samples`
        posterior samples, in constant memory.
        """
        features = self._encode(variables, x)

        def log_weights(key: Array) -> Array:
            noise = jax.random.normal(key, (len(x), self.latent_dim))
            climb = self._climb(variables, features, noise)
            params = self._decode(variables, climb.hidden)
            return self.likelihood.log_prob(params, x) + climb.log_ratio

        keys = jax.random.split(key, self.eval_samples)
        value = streaming_log_mean_exp(jax.vmap(log_weights), keys, len(x), _ROWS)
        return LogProb(value, 'lower_bound', is_density(self.likelihood))

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Draws the codes of all levels, the top one first, [B, latent_dim]."""
        noise = jax.random.normal(key, (len(x), self.latent_dim))
        return self._climb(variables, self._encode(variables, x), noise).z

    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """Computes the mean of p(x|z), [B, *event]; `key` is not used."""
        del key
        hidden, _ = flax_utils.apply(self.ladder, variables, 'ladder', z, method='decode')
        return self.likelihood.mean(self._decode(variables, hidden))

    def features(self, variables: Variables, x: Array) -> Array:
        """Computes the posterior means, each level's given the means above, [B, latent_dim]."""
        noise = jnp.zeros((len(x), self.latent_dim))
        return self._climb(variables, self._encode(variables, x), noise).z

    def _encode(self, variables: Variables, x: Array) -> Array:
        centred = self.likelihood.centre(x)
        features, _ = flax_utils.apply(self.encoder, variables, 'encoder', centred)
        return features.astype(jnp.float32)

    def _climb(self, variables: Variables, features: Array, noise: Array) -> Climb:
        return flax_utils.apply(self.ladder, variables, 'ladder', features, noise)[0]

    def _decode(self, variables: Variables, hidden: Array) -> Array:
        return flax_utils.apply(self._decoder, variables, 'decoder', hidden)[0].astype(jnp.float32)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        noise_key, encoder_key, decoder_key = jax.random.split(key, 3)
        x = batch['x']
        features, state = flax_utils.apply(
            self.encoder, variables, 'encoder', self.likelihood.centre(x),
            train=True, key=encoder_key,
        )  # fmt: skip
        noise = jax.random.normal(noise_key, (len(x), self.latent_dim))
        climb = self._climb(variables, features.astype(jnp.float32), noise)
        params, state = flax_utils.apply(
            self._decoder, {**variables, 'state': state}, 'decoder', climb.hidden,
            train=True, key=decoder_key,
        )  # fmt: skip
        distortion = -self.likelihood.log_prob(params.astype(jnp.float32), x)
        rate = jnp.sum(climb.rates, axis=-1)
        levels = {f'rate_{i + 1}': climb.rates[:, i] for i in range(len(self.ladder.code_dims))}
        metrics = {'elbo': -distortion - rate, 'rate': rate, 'distortion': distortion, **levels}
        mask = batch.get('mask', jnp.ones(len(x), bool))
        mask = mask if self.free_bits_over == 'batch' else None
        cost = with_free_bits(climb.rates, self.free_bits, mask)
        return LossOutput(distortion + self.beta * cost, metrics, state)
