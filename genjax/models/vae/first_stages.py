"""First stages of latent models: autoencoders with a map of normals or of tokens as code."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, Variables
from genjax.models.vae.autoencoder import Autoencoder, Encoded, flat
from genjax.models.vae.bounds import gaussian_kl_per_dim
from genjax.models.vae.likelihoods import soft_bound
from genjax.models.vae.quantised import merge_codebook
from genjax.networks.quantisers import Quantised, VectorQuantiser, code_counts, codebook_use

MOMENTS_DECAY = 0.99


@dataclass(frozen=True, kw_only=True)
class KLAutoencoder(Autoencoder):
    """An autoencoder whose code is a map of normals with a weak KL penalty ("KL-reg" of Rombach et
    al., 2022). It provides the latent space of a second-stage model.

    `encode` standardises codes [B, h, w, channels] to mean 0 and variance 1 per channel, by moving
    averages over training (decay .99; state collection 'moments' of the encoder); `decode` expects
    standardised codes. `sample` decodes standard normal noise, as if the pixels of a code were
    independent, so that its samples are poor. Further metrics: 'rate' in nats, and 'code_std', the
    posterior's standard deviation over that of all codes.

    Attributes:
        channels: of the code.
        kl: weight of the KL divergence in nats, divided by the number of values of the image, as
            the other terms are means where the paper's are sums.
    """

    channels: int = 4
    kl: float = 1e-6

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Decodes noise, [num, *event]. Raises a UserError when given a condition."""
        conditions.refuse(self, label, context)
        z = jax.random.normal(key, (num, *self._map_size, self.channels))
        return self.decode(variables, z, key)

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Draws codes [B, h, w, channels] of x."""
        mean, std = self.code_moments(variables, x)
        return mean + std * jax.random.normal(key, mean.shape)

    def code_moments(self, variables: Variables, x: Array) -> tuple[Array, Array]:
        """Computes mean and standard deviation of the codes of x, each [B, h, w, channels]."""
        code, _ = flax_utils.apply(self._code, variables, 'encoder', x.astype(jnp.float32))
        centre, spread = _centre_and_spread(variables)
        return (code.mean - centre) / spread, jnp.exp(code.log_std) / spread

    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """Decodes each code to an image [B, *event]; `key` is not used."""
        del key
        centre, spread = _centre_and_spread(variables)
        return self._decode(variables, centre + spread * z)[0]

    def features(self, variables: Variables, x: Array) -> Array:
        """The means of the codes, [B, h * w * channels]."""
        return flat(self.code_moments(variables, x)[0])

    @property
    def _code(self) -> nn.Module:
        return _GaussianMap(self.encoder, self.channels)

    @property
    def _depth(self) -> int:
        return self.channels

    def _encoded(self, variables: Variables, batch: Batch, key: Array) -> Encoded:
        noise_key, encoder_key = jax.random.split(key)
        x = batch['x'].astype(jnp.float32)
        code, state = flax_utils.apply(
            self._code, variables, 'encoder', x, *_mask(batch), train=True, key=encoder_key
        )
        rate = jnp.sum(flat(gaussian_kl_per_dim(code.mean, code.log_std)), axis=-1)
        spread = _centre_and_spread(variables)[1]
        metrics = {'rate': rate, 'code_std': _mean(jnp.exp(code.log_std) / spread)}
        return Encoded(_draw(code, noise_key), self.kl * rate / x[0].size, metrics, state)


@dataclass(frozen=True, kw_only=True)
class VQAutoencoder(Autoencoder):
    """An autoencoder whose code is a map of tokens: VQGAN (Esser et al., 2021).

    `encode` returns tokens int32 [B, T], T = h * w, in raster order, or those of all codebooks of a
    `ResidualQuantiser`, T = h * w * depth. `sample` decodes uniform tokens, which is poor unless
    tokens are nearly uniform: train a second-stage model of tokens. Further metrics: 'commitment',
    'penalty', that of the quantiser, and of the batch 'codebook_use' and 'perplexity'.

    Attributes:
        quantiser: see `genjax.networks.quantisers`.
        commitment: weight of the mean squared distance of the vectors from their codes.
    """

    quantiser: nn.Module = field(default_factory=VectorQuantiser)
    commitment: float = 0.25

    @property
    def num_codes(self) -> int:
        return self.quantiser.num_codes

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Decodes uniform tokens, [num, *event]. Raises a UserError when given a condition."""
        conditions.refuse(self, label, context)
        total = math.prod(self._map_size) * getattr(self.quantiser, 'depth', 1)
        index = jax.random.randint(key, (num, total), 0, self.num_codes)
        return self.decode(variables, index, key)

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Encodes x as tokens int32 [B, T]; `key` is not used."""
        del key
        return flat(self._quantise(variables, x).index)

    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """Decodes tokens [B, T] to images [B, *event]; `key` is not used."""
        del key
        if hasattr(self.quantiser, 'depth'):
            z = z.reshape(len(z), -1, self.quantiser.depth)
        vectors, _ = flax_utils.apply(self._code, variables, 'encoder', z, method='lookup')
        return self._decode(variables, vectors.reshape(len(z), *self._map_size, -1))[0]

    def features(self, variables: Variables, x: Array) -> Array:
        """The vectors of the tokens, [B, h * w * dim]."""
        return flat(self._quantise(variables, x).z)

    @property
    def _code(self) -> nn.Module:
        return _TokenMap(self.encoder, self.quantiser)

    @property
    def _merge(self) -> Callable:
        return functools.partial(merge_codebook, self.quantiser)

    @property
    def _depth(self) -> int:
        return self.quantiser.dim

    def _quantise(self, variables: Variables, x: Array) -> Quantised:
        return flax_utils.apply(self._code, variables, 'encoder', x.astype(jnp.float32))[0]

    def _encoded(self, variables: Variables, batch: Batch, key: Array) -> Encoded:
        x, mask = batch['x'].astype(jnp.float32), *_mask(batch)
        code, state = flax_utils.apply(
            self._code, variables, 'encoder', x, mask, train=True, key=key
        )
        commitment, penalty = _mean(code.distance) / self.quantiser.dim, _mean(code.penalty)
        use, perplexity = codebook_use(code_counts(flat(code.index), self.num_codes, mask[:, None]))
        metrics = {'commitment': commitment, 'penalty': penalty}
        metrics |= {'codebook_use': use, 'perplexity': perplexity}
        return Encoded(code.z, self.commitment * commitment + penalty, metrics, state)


class _Normals(NamedTuple):
    """Means and log standard deviations [B, h, w, channels]."""

    mean: Array
    log_std: Array


class _GaussianMap(nn.Module):
    """An encoder, a linear head to a map of normals, and moving moments of their draws."""

    network: nn.Module
    channels: int

    @nn.compact
    def __call__(self, x: Array, mask: Array | bool = True, train: bool = False) -> _Normals:
        h = self.network(x, **flax_utils.train_option(self.network, train)).astype(jnp.float32)
        mean, log_std = jnp.split(nn.Dense(2 * self.channels, name='head')(h), 2, axis=-1)
        code = _Normals(mean, soft_bound(log_std))
        weight = jnp.broadcast_to(jnp.reshape(mask, (-1, 1, 1, 1)), mean.shape)

        def average(values: Array) -> Array:
            total = jnp.sum(jnp.where(weight, values, 0.0), axis=(0, 1, 2))
            return total / jnp.maximum(jnp.sum(weight[..., 0]), 1)

        moments = {'mean': average(mean), 'square': average(mean**2 + jnp.exp(2 * code.log_std))}
        for name, new in jax.lax.stop_gradient(moments).items():
            old = self.variable('moments', name, lambda new=new: new)
            if train:
                old.value = MOMENTS_DECAY * old.value + (1 - MOMENTS_DECAY) * new
        return code


class _TokenMap(nn.Module):
    """An encoder, a linear layer to a map of vectors, and the quantiser."""

    network: nn.Module
    quantiser: nn.Module

    def setup(self):
        self.head = nn.Dense(self.quantiser.dim)

    def __call__(self, x: Array, mask: Array | bool = True, train: bool = False) -> Quantised:
        h = self.network(x, **flax_utils.train_option(self.network, train)).astype(jnp.float32)
        return self.quantiser(self.head(h), jnp.reshape(mask, (-1, 1, 1)), train=train)

    def lookup(self, index: Array) -> Array:
        return self.quantiser.lookup(index)


def _centre_and_spread(variables: Variables) -> tuple[Array, Array]:
    """Mean and standard deviation [channels] of the codes, by moving averages over training."""
    moments = variables['state']['encoder']['moments']
    variance = jnp.maximum(moments['square'] - moments['mean'] ** 2, 1e-8)
    return moments['mean'], jnp.sqrt(variance)


def _draw(code: _Normals, key: Array) -> Array:
    return code.mean + jnp.exp(code.log_std) * jax.random.normal(key, code.mean.shape)


def _mask(batch: Batch) -> tuple[Array]:
    return (batch.get('mask', jnp.ones(len(batch['x']), bool)),)


def _mean(x: Array) -> Array:
    """The mean of each example, [B]."""
    return jnp.mean(flat(x), axis=-1)
