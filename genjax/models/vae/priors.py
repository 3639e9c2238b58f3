"""Priors p(z).

Each is a frozen dataclass; its parameters are the group 'prior' of the model. Its methods take the
model's encoder, `encode: centred x -> Posterior`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws
from genjax.models.vae.bounds import gaussian_log_prob
from genjax.models.vae.posterior import Posterior

Encode = Callable[[Array], Posterior]
Params = Mapping[str, Any]


class Prior(Protocol):
    """Interface of a VAE's prior."""

    learned: bool
    """True if the prior has parameters."""

    def init(self, key: Array, latent_dim: int, x: Array) -> Params:
        """Draws its parameters; `x` are the centred data of the first batch."""

    def log_prob(self, params: Params, encode: Encode, z: Array) -> Array:
        """Log-density [...] of codes z [..., D]."""

    def sample(self, params: Params, encode: Encode, key: Array, shape: tuple) -> Array:
        """Draws codes of `shape` [num, D]."""


@dataclass(frozen=True)
class StandardNormal:
    """Independent normals of mean 0 and variance 1."""

    learned: ClassVar[bool] = False

    def init(self, key: Array, latent_dim: int, x: Array) -> Params:
        """Returns no parameters."""
        del key, latent_dim, x
        return {}

    def log_prob(self, params: Params, encode: Encode, z: Array) -> Array:
        """Log-density [...] of codes z [..., D]."""
        del params, encode
        return gaussian_log_prob(z)

    def sample(self, params: Params, encode: Encode, key: Array, shape: tuple) -> Array:
        """Draws codes of `shape` [num, D]."""
        del params, encode
        return jax.random.normal(key, shape)


def mixture_log_prob(z: Array, mean: Array, log_std: Array, logits: Array) -> Array:
    """Log-density [...] of z [..., D] under normals [C, D] weighted by softmax(logits [C])."""
    each = gaussian_log_prob(z[..., None, :], mean, log_std)
    return jax.nn.logsumexp(each + jax.nn.log_softmax(logits), axis=-1)


def mixture_sample(
    key: Array, shape: tuple[int, int], mean: Array, log_std: Array, logits: Array
) -> Array:
    """Draws [num, D] from the mixture of `mixture_log_prob`."""
    which_key, noise_key = jax.random.split(key)
    which = draws.categorical(which_key, logits, shape[:1])
    return mean[which] + jnp.exp(log_std[which]) * jax.random.normal(noise_key, shape)


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of diagonal normals with learned means, scales and weights.

    Attributes:
        components: number of components.
    """

    components: int = 100

    learned: ClassVar[bool] = True

    def __post_init__(self):
        _check_components(self)

    def init(self, key: Array, latent_dim: int, x: Array) -> Params:
        """Draws means from a standard normal; scales of one and uniform weights."""
        del x
        shape = (self.components, latent_dim)
        return {
            'mean': jax.random.normal(key, shape),
            'log_std': jnp.zeros(shape),
            'logits': jnp.zeros(self.components),
        }

    def log_prob(self, params: Params, encode: Encode, z: Array) -> Array:
        """Log-density [...] of codes z [..., D]."""
        del encode
        return mixture_log_prob(z, **params)

    def sample(self, params: Params, encode: Encode, key: Array, shape: tuple) -> Array:
        """Draws codes of `shape` [num, D]."""
        del encode
        return mixture_sample(key, shape, **params)


@dataclass(frozen=True)
class VampPrior:
    """Uniform mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling, 2018).

    Pseudo-inputs are initialised as noisy examples of the first batch, and are not constrained to
    the range of the data.

    Attributes:
        components: number of pseudo-inputs.
        noise: standard deviation of the initial noise, in units of the centred data; it separates
            copies of an example.
    """

    components: int = 500
    noise: float = 0.1

    learned: ClassVar[bool] = True

    def __post_init__(self):
        _check_components(self)

    def init(self, key: Array, latent_dim: int, x: Array) -> Params:
        """Initialises pseudo-inputs as examples of `x` with noise, repeated in order if needed."""
        del latent_dim
        inputs = x[jnp.arange(self.components) % len(x)].astype(jnp.float32)
        return {'inputs': inputs + self.noise * jax.random.normal(key, inputs.shape)}

    def log_prob(self, params: Params, encode: Encode, z: Array) -> Array:
        """Log-density [...] of codes z [..., D]."""
        return mixture_log_prob(z, *encode(params['inputs'])[:2], jnp.zeros(self.components))

    def sample(self, params: Params, encode: Encode, key: Array, shape: tuple) -> Array:
        """Draws codes of `shape` [num, D]."""
        even = jnp.zeros(self.components)
        return mixture_sample(key, shape, *encode(params['inputs'])[:2], even)


def _check_components(prior: GaussianMixture | VampPrior) -> None:
    if prior.components < 1:
        name = type(prior).__name__
        raise UserError(f'{name}.components must be at least 1, not {prior.components}')
