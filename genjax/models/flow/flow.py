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

    Parameter group and phase: 'flow'. A code is z, flat: [B, D], followed in a conditional flow by
    the one-hot label or flattened context.

    Densities, codes and samples are computed in float32 on every device, including the networks of
    couplings: the inverse needs the parameters of the forward map. In the loss these networks use
    the device's default precision; linear maps stay in float32, as their rounding would enter the
    density.

    Attributes:
        bijection: maps data to noise of the same shape (a `genjax.models.flow.Bijection`).
        shape: the shape of one example.
        base: the distribution of the noise.
        num_classes: if given, the bijection takes labels, one-hot, as its context.
        context_shape: if given, the bijection takes contexts of this shape, flattened.
    """

    bijection: nn.Module
    shape: tuple[int, ...]
    base: Base = field(default_factory=StandardNormal)
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, 'shape', tuple(self.shape))
        conditions.check(self)

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
            UserError: the bijection changes the shape of an example; or the data do not have the
                label or context of the model.
        """
        x, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        variables = flax_utils.initialise(key, {'flow': (self.bijection, (x, condition))})
        z, _ = jax.eval_shape(self._transform, variables, x, condition)
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
        """Draws x [num, *event]; missing labels are drawn uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        label_key, key = jax.random.split(key) if conditions.is_conditional(self) else (key, key)
        condition = conditions.to_sample(self, label_key, num, label, context)
        return self._invert(variables, self.base.sample(key, (num, self.latent_dim)), condition)

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
        """Computes the exact log-density [B] of x given the label or context; without a label, of
        the uniform mixture over classes; `key` is not used.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        del key
        value = conditions.mixture(
            self, lambda c: self._log_prob_and_log_det(variables, x, c)[0], len(x), label, context
        )
        return LogProb(value, 'exact', density=True)

    @full_precision
    def encode(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Maps x to noise z [B, D], followed by its condition; a label that is not given is the
        most likely class. `key` is not used.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        del key
        condition = self._given_or_likely(variables, x, label, context)
        z = self._transform(variables, x, condition)[0].reshape(len(x), -1)
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
        """Maps noise z [B, D] to x [B, *event]; a label or context takes the place of the one at
        the end of the code. `key` is not used.
        """
        del key
        z, condition = conditions.split_code(self, z, label, context)
        return self._invert(variables, z, condition)

    @full_precision
    def features(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Maps x to noise z [B, D]; see `encode`."""
        condition = self._given_or_likely(variables, x, label, context)
        return self._transform(variables, x, condition)[0].reshape(len(x), -1)

    def _given_or_likely(
        self, variables: Variables, x: Array, label: Array | None, context: Array | None
    ) -> Array | None:
        return conditions.given_or_likely(
            self, lambda c: self._log_prob_and_log_det(variables, x, c)[0], len(x), label, context
        )

    @full_precision
    def _invert(self, variables: Variables, z: Array, condition: Array | None) -> Array:
        (x, _), _ = flax_utils.apply(
            self.bijection, variables, 'flow', z.reshape(-1, *self.shape), condition,
            method='inverse_and_log_det',
        )  # fmt: skip
        return x

    def _transform(
        self, variables: Variables, x: Array, condition: Array | None
    ) -> tuple[Array, Array]:
        out, _ = flax_utils.apply(
            self.bijection, variables, 'flow', x, condition, method='transform_and_log_det'
        )
        return out

    def _log_prob_and_log_det(
        self, variables: Variables, x: Array, condition: Array | None
    ) -> tuple[Array, Array]:
        z, log_det = self._transform(variables, x, condition)
        return self.base.log_prob(z.reshape(len(x), -1)) + log_det, log_det

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        del key
        condition = conditions.of_batch(self, batch)
        log_prob, log_det = self._log_prob_and_log_det(variables, batch['x'], condition)
        return LossOutput(-log_prob, {'log_det': log_det}, variables['state'])
