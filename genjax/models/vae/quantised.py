"""Autoencoders with discrete codes."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws, flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables, average_states
from genjax.models.precision import full_precision
from genjax.models.vae.decoded import DecodedPrior
from genjax.models.vae.likelihoods import Bernoulli, Likelihood, emitting, is_density
from genjax.networks.quantisers import (
    Quantised,
    VectorQuantiser,
    code_counts,
    codebook_use,
    restart_unused,
)
from genjax.networks.residual_quantiser import ResidualQuantiser


class _Encoder(nn.Module):
    """An encoder, a linear head to the vectors of the tokens, and the quantiser."""

    network: nn.Module
    quantiser: nn.Module
    num_tokens: int

    def setup(self):
        self.head = nn.Dense(self.num_tokens * self.quantiser.dim)

    def __call__(self, x: Array, mask: Array | bool = True, train: bool = False) -> Quantised:
        options = flax_utils.train_option(self.network, train)
        h = self.network(x, **options)
        h = self.head(h.reshape(h.shape[0], -1).astype(jnp.float32))
        h = h.reshape(-1, self.num_tokens, self.quantiser.dim)
        return self.quantiser(h, jnp.reshape(mask, (-1, 1)), train=train)

    def lookup(self, index: Array) -> Array:
        return self.quantiser.lookup(index)


def merge_codebook(quantiser: nn.Module, before: Any, states: Any, weights: Array) -> Any:
    """`Phase.merge` for a model with this quantiser in its encoder's field `quantiser`."""
    if not isinstance(quantiser, VectorQuantiser | ResidualQuantiser):
        return average_states(before, states, weights)

    def with_codebook(state: Any, codebook: Any) -> Any:
        return {**state, 'encoder': {**state['encoder'], 'codebook': codebook}}

    new = states['encoder']['codebook']
    state = average_states(before, with_codebook(states, _map_codebooks(_averages, new)), weights)
    restarted = functools.partial(_restarted, share=quantiser.restart)
    return with_codebook(state, _map_codebooks(restarted, state['encoder']['codebook'], new))


def _map_codebooks(function: Callable, *trees: Any) -> Any:
    """Applies a function to the variables of each codebook."""
    if 'count' in trees[0]:
        return function(*trees)
    return {name: _map_codebooks(function, *(tree[name] for tree in trees)) for name in trees[0]}


def _averages(codebook: Any) -> Any:
    return {name: codebook[name] for name in ('count', 'total')}


def _restarted(old: Any, new: Any, share: float) -> Any:
    count, total = restart_unused(**old, fresh=new['fresh'], lot=new['lot'], share=share)
    return {'count': count, 'total': total}


@dataclass(frozen=True)
class VQVAE(DecodedPrior):
    """An autoencoder whose code is a sequence of tokens: VQ-VAE (van den Oord et al., 2017) with
    `VectorQuantiser`, RQ-VAE (Lee et al., 2022) with `ResidualQuantiser`, FSQ (Mentzer et al.,
    2024) with `FiniteScalarQuantiser`, LFQ (Yu et al., 2024) with `LookupFreeQuantiser`, and a
    discrete VAE (Jang et al., 2017) with `GumbelQuantiser`.

    Phases: 'autoencoder' trains encoder and decoder (the codebook is state of the encoder); then
    'prior', if there is one, learns the distribution of the current tokens. Metrics of the first:
    'distortion' -log p(x|z), 'commitment', 'penalty', that of the quantiser, and of the batch
    'codebook_use', the fraction of codes used, and 'perplexity'.

    Attributes:
        encoder: data to features [B, ...]; a linear head to the tokens is added.
        decoder: the vectors [B, num_tokens * dim] to [B, *shape]; its field `shape` is the shape of
            one example. It is cloned with the last dimension times the width of the likelihood.
        num_tokens: number of vectors per example. Each has one token, or as many as the quantiser
            has codebooks: then an example has T = num_tokens * depth tokens.
        quantiser: see `genjax.networks.quantisers`.
        likelihood: the distribution of data given the decoder's output.
        commitment: weight of the squared distance of the vectors from their codes.
        prior: distribution of tokens for `sample` and `log_prob`: a causal network of tokens
            [B, T, num_codes] (one-hot) to logits [B, T, outputs], row t given the tokens before t,
            such as `networks.MaskedMLP`; it is cloned with `outputs` set. None: a uniform
            distribution.
    """

    encoder: nn.Module
    decoder: nn.Module
    num_tokens: int
    quantiser: nn.Module = field(default_factory=VectorQuantiser)
    likelihood: Likelihood = field(default_factory=Bernoulli)
    commitment: float = 0.25
    prior: nn.Module | None = None

    def __post_init__(self):
        flax_utils.event_shape(self.decoder, 'decoder')
        if self.num_tokens < 1:
            raise UserError(f'VQVAE.num_tokens must be at least 1, not {self.num_tokens}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.decoder, 'decoder')

    @property
    def data_values(self) -> Values | None:
        """The range of data that the likelihood supports."""
        return getattr(self.likelihood, 'data_values', None)

    @property
    def num_codes(self) -> int:
        return self.quantiser.num_codes

    @property
    def _total(self) -> int:
        """Number of tokens per example."""
        return self.num_tokens * getattr(self.quantiser, 'depth', 1)

    @property
    def log_prob_method(self) -> str:
        """Name of the `log_prob` estimator, for tables."""
        return "the encoder's code alone"

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The autoencoder, then the prior."""
        merge = functools.partial(merge_codebook, self.quantiser)
        autoencoder = Phase('autoencoder', ('encoder', 'decoder'), self._loss, merge=merge)
        if self.prior is None:
            return (autoencoder,)
        return autoencoder, Phase('prior', ('prior',), self._prior_loss)

    @property
    def _encoder(self) -> _Encoder:
        return _Encoder(self.encoder, self.quantiser, self.num_tokens)

    @property
    def _decoder(self) -> nn.Module:
        return emitting(self.decoder, self.likelihood)

    @property
    def _prior(self) -> nn.Module:
        return self.prior.clone(outputs=self.num_codes)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; a codebook is initialised with vectors of `batch`."""
        size = len(batch['x'])
        networks = {
            'encoder': (self._encoder, (self.likelihood.centre(batch['x']),)),
            'decoder': (self._decoder, (jnp.zeros((size, self.num_tokens * self.quantiser.dim)),)),
        }
        if self.prior is not None:
            tokens = jnp.zeros((size, self._total, self.num_codes))
            networks['prior'] = (self._prior, (tokens,))
        return flax_utils.initialise(key, networks)

    def _prior_decoded(self, variables: Variables, key: Array, num: int) -> tuple[Array, Array]:
        """Returns the parameters of p(x|z) for tokens drawn from the prior, and a key for x."""
        code_key, x_key = jax.random.split(key)
        index = self.sample_codes(variables, code_key, num)
        return self._decode(variables, self._lookup(variables, index)), x_key

    def sample_codes(self, variables: Variables, key: Array, num: int) -> Array:
        """Draws tokens int32 [num, T] from the prior."""
        shape = (num, self._total)
        if self.prior is None:
            return jax.random.randint(key, shape, 0, self.num_codes)

        def step(index: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            t, step_key = inputs
            logits = self._prior_logits(variables, index)
            return index.at[:, t].set(draws.categorical(step_key, logits[:, t])), None

        steps = jnp.arange(self._total), jax.random.split(key, self._total)
        return jax.lax.scan(step, jnp.zeros(shape, jnp.int32), steps)[0]

    @full_precision
    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes log p(code) + log p(x|code) for the encoder's code, [B]: a lower bound of
        log p(x), which sums over all codes. `key` is not used.
        """
        del key
        quantised = self._quantise(variables, x)
        log_likelihood = self.likelihood.log_prob(self._decode(variables, quantised.z), x)
        value = log_likelihood + self._log_prior(variables, _tokens(quantised))
        return LogProb(value, 'lower_bound', is_density(self.likelihood))

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Encodes x as tokens int32 [B, T]; `key` is not used."""
        del key
        return _tokens(self._quantise(variables, x))

    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """Computes the mean of p(x|tokens), [B, *event]; `key` is not used."""
        del key
        return self.likelihood.mean(self._decode(variables, self._lookup(variables, z)))

    def features(self, variables: Variables, x: Array) -> Array:
        """The vectors of the code, [B, num_tokens * dim]."""
        return self._quantise(variables, x).z.reshape(len(x), -1)

    def _quantise(self, variables: Variables, x: Array) -> Quantised:
        return flax_utils.apply(self._encoder, variables, 'encoder', self.likelihood.centre(x))[0]

    def _lookup(self, variables: Variables, index: Array) -> Array:
        if hasattr(self.quantiser, 'depth'):
            index = index.reshape(len(index), self.num_tokens, -1)
        return flax_utils.apply(self._encoder, variables, 'encoder', index, method='lookup')[0]

    def _decode(self, variables: Variables, z: Array) -> Array:
        z = z.reshape(len(z), -1)
        return flax_utils.apply(self._decoder, variables, 'decoder', z)[0].astype(jnp.float32)

    def _prior_logits(self, variables: Variables, index: Array, **options: Any) -> Array:
        """Computes logits [B, T, num_codes] of each token given those before it."""
        tokens = jax.nn.one_hot(index, self.num_codes)
        return flax_utils.apply(self._prior, variables, 'prior', tokens, **options)[0]

    def _log_prior(self, variables: Variables, index: Array, **options: Any) -> Array:
        if self.prior is None:
            return -jnp.log(self.num_codes) * self._total * jnp.ones(len(index))
        logits = self._prior_logits(variables, index, **options).astype(jnp.float32)
        each = jnp.take_along_axis(jax.nn.log_softmax(logits), index[..., None], axis=-1)
        return jnp.sum(each, axis=(1, 2))

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        encoder_key, decoder_key = jax.random.split(key)
        x, mask = batch['x'], batch.get('mask', jnp.ones(len(batch['x']), bool))
        quantised, state = flax_utils.apply(
            self._encoder, variables, 'encoder', self.likelihood.centre(x), mask,
            train=True, key=encoder_key,
        )  # fmt: skip
        z = quantised.z.reshape(len(x), -1)
        params, state = flax_utils.apply(
            self._decoder, {**variables, 'state': state}, 'decoder', z, train=True, key=decoder_key
        )
        distortion = -self.likelihood.log_prob(params.astype(jnp.float32), x)
        commitment, penalty = (
            jnp.sum(each, axis=-1) for each in (quantised.distance, quantised.penalty)
        )
        counts = code_counts(_tokens(quantised), self.num_codes, mask[:, None])
        use, perplexity = codebook_use(counts)
        metrics = {
            'distortion': distortion,
            'commitment': commitment,
            'penalty': penalty,
            'codebook_use': use,
            'perplexity': perplexity,
        }
        return LossOutput(distortion + self.commitment * commitment + penalty, metrics, state)

    def _prior_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        index = _tokens(self._quantise(variables, batch['x']))
        rate = -self._log_prior(variables, index, train=True, key=key)
        return LossOutput(rate, {'rate': rate}, variables['state'])


def _tokens(quantised: Quantised) -> Array:
    """The tokens [B, T] of vectors [B, num_tokens, dim]."""
    return quantised.index.reshape(len(quantised.index), -1)
