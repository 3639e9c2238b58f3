"""Distributions of codes before any data are seen.

Each is a frozen dataclass; what it learns lies in the parameter group 'prior' of its model. It is
given the model's own encoder, `encode: centred x -> Posterior`.
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
    """What a VAE asks of its prior."""

    learned: bool
    """Whether it has parameters."""

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
        """There are none."""
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
    """Draws [num, D] from the same mixture."""
    which_key, noise_key = jax.random.split(key)
    which = draws.categorical(which_key, logits, shape[:1])
    return mean[which] + jnp.exp(log_std[which]) * jax.random.normal(noise_key, shape)


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of diagonal normals whose means, scales and weights are learned.

    Attributes:
        components: how many.
    """

    components: int = 100

    learned: ClassVar[bool] = True

    def __post_init__(self):
        _check_components(self)

    def init(self, key: Array, latent_dim: int, x: Array) -> Params:
        """Means from a standard normal, scales of one, even weights."""
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
    """The even mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling, 2018).

    The pseudo-inputs start as examples of the first batch with noise, and are not confined to the
    range of the data.

    Attributes:
        components: how many pseudo-inputs.
        noise: its standard deviation, in units of the centred data; it sets copies of the same
            example apart.
    """

    components: int = 500
    noise: float = 0.1

    learned: ClassVar[bool] = True

    def __post_init__(self):
        _check_components(self)

    def init(self, key: Array, latent_dim: int, x: Array) -> Params:
        """Examples of `x`, the first ones first, again and again, with noise."""
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
