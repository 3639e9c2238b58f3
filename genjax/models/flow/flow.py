"""Normalizing flow: a generative model by change of variables."""

import math
from dataclasses import dataclass, field
from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, draws, flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Variables
from genjax.models.precision import full_precision


class Base(Protocol):
    """The distribution of the noise; codes are flat, [B, D]."""

    def log_prob(self, z: Array) -> Array:
        """Log-density [B] in nats."""

    def sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws z of shape [num, D]."""


@dataclass(frozen=True)
class StandardNormal:
    """Independent normals of mean 0 and variance 1."""

    def log_prob(self, z: Array) -> Array:
        """Log-density [B] of z [B, D]."""
        return -0.5 * jnp.sum(z**2 + math.log(2 * math.pi), axis=-1)

    def sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)


@dataclass(frozen=True)
class StandardLogistic:
    """Independent logistic variables of mean 0 and scale 1 (NICE, Dinh et al., 2015). The
    log-density of outliers falls linearly, not quadratically.
    """

    def log_prob(self, z: Array) -> Array:
        """Log-density [B] of z [B, D]."""
        return jnp.sum(jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z), axis=-1)

    def sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return draws.logistic(key, shape)


@dataclass(frozen=True)
class Flow:
    """A density by change of variables: log p(x) = log base(z) + log |det dz/dx|, z = bijection(x)
    (Tabak & Turner, 2013; Rezende & Mohamed, 2015). Trained by maximum likelihood.

    Parameter group and phase: 'flow'. A code is z, flat: [B, D].

    Densities, codes and samples are computed in float32 on every device, including the networks of
    couplings: the inverse needs the parameters of the forward map. In the loss these networks use
    the device's default precision; linear maps stay in float32, as their rounding would enter the
    density.

    Attributes:
        bijection: maps data to noise of the same shape (a `genjax.models.flow.Bijection`).
        shape: the shape of one example.
        base: the distribution of the noise.
    """

    bijection: nn.Module
    shape: tuple[int, ...]
    base: Base = field(default_factory=StandardNormal)

    def __post_init__(self):
        object.__setattr__(self, 'shape', tuple(self.shape))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def latent_dim(self) -> int:
        """The dimension of a code, equal to that of an example."""
        return math.prod(self.shape)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('flow', ('flow',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `ActNorm` takes its statistics from `batch`.

        Raises:
            UserError: the bijection changes the shape of an example.
        """
        x = batch['x'].astype(jnp.float32)
        variables = flax_utils.initialise(key, {'flow': (self.bijection, (x,))})
        z, _ = jax.eval_shape(self._transform, variables, x)
        if z.shape != x.shape:
            raise UserError(
                f'Flow.bijection makes {z.shape[1:]} of {x.shape[1:]}: undo changes of shape at its'
                ' end, as with Inverse(Squeeze()) or Inverse(Flatten(shape))'
            )
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
        """Draws x [num, *event]. Raises a UserError when given a condition."""
        conditions.refuse(self, label, context)
        return self.decode(variables, self.base.sample(key, (num, self.latent_dim)), key)

    @full_precision
    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Computes the exact log-density [B] of x; `key` is not used."""
        del key
        return LogProb(self._log_prob_and_log_det(variables, x)[0], 'exact', density=True)

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Maps x to noise z [B, D]; `key` is not used."""
        del key
        return self.features(variables, x)

    @full_precision
    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """Maps noise z [B, D] to x [B, *event]; `key` is not used."""
        del key
        z = z.reshape(-1, *self.shape)
        (x, _), _ = flax_utils.apply(
            self.bijection, variables, 'flow', z, method='inverse_and_log_det'
        )
        return x

    @full_precision
    def features(self, variables: Variables, x: Array) -> Array:
        """Maps x to noise z [B, D]."""
        return self._transform(variables, x)[0].reshape(len(x), -1)

    def _transform(self, variables: Variables, x: Array) -> tuple[Array, Array]:
        out, _ = flax_utils.apply(
            self.bijection, variables, 'flow', x, method='transform_and_log_det'
        )
        return out

    def _log_prob_and_log_det(self, variables: Variables, x: Array) -> tuple[Array, Array]:
        z, log_det = self._transform(variables, x)
        return self.base.log_prob(z.reshape(len(x), -1)) + log_det, log_det

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        del key
        log_prob, log_det = self._log_prob_and_log_det(variables, batch['x'])
        return LossOutput(-log_prob, {'log_det': log_det}, variables['state'])
