"""Normalizing flow: a generative model by change of variables."""

import functools
import math
from dataclasses import dataclass, field
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Variables
from genjax.models.conditional import ConditionalModel, GuidedSampling
from genjax.models.flow.bases import Base, StandardNormal
from genjax.models.flow.bijection import Guided
from genjax.models.precision import full_precision


@dataclass(frozen=True, kw_only=True)
class FlowSampling(GuidedSampling):
    """Sampling options of flows. Guidance mixes the parameters of each coupling or autoregressive
    map with and without the condition.

    Attributes:
        denoise: standard deviation σ of the noise that was added to the training examples
            (`data.AddNoise`): samples are x + σ² ∇ log p(x), the mean of the clean example given
            the noisy one (Tweedie's formula; Zhai et al., "Normalizing flows are capable generative
            models", 2024).
    """

    denoise: float = 0.0


@dataclass(frozen=True)
class Flow(ConditionalModel):
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
        condition_dropout: fraction of training examples with the null condition. If it is not 0,
            the model learns p(x) as well, and takes the option `guidance`.
        sampling: sampling options.
    """

    bijection: nn.Module
    shape: tuple[int, ...]
    base: Base = field(default_factory=StandardNormal)
    sampling: FlowSampling = field(default_factory=FlowSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    def __post_init__(self):
        object.__setattr__(self, 'shape', tuple(self.shape))
        self._check_conditions()

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
        condition = self._context(condition)
        variables = flax_utils.initialise(key, {'flow': (self.bijection, (x, condition))})
        z, _ = jax.eval_shape(self._mapped, variables, x, condition)
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
        z = self.base.sample(key, (num, self.latent_dim))
        x = self._invert(variables, z, condition, self.sampling.guidance)
        return self._denoised(variables, x, condition) if self._denoises else x

    @property
    def _denoises(self) -> bool:
        scale = self.sampling.denoise
        return not (isinstance(scale, int | float) and scale == 0)

    @full_precision
    def _denoised(self, variables: Variables, x: Array, condition: Array | None) -> Array:
        def total(x: Array) -> Array:
            return jnp.sum(self._log_prob(variables, x, None, condition))

        return x + self.sampling.denoise**2 * jax.grad(total)(x)

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
        """Computes the exact log-density [B] of x given the label or context; without one, that of
        p(x) if `condition_dropout` is not 0, and otherwise of the uniform mixture over classes;
        `key` is not used.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        value = self._log_prob_or_mixture(variables, x, key, label, context)
        return LogProb(value, 'exact', density=True)

    def _log_prob_or_mixture(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        label: Array | None,
        context: Array | None,
    ) -> Array:
        log_prob = functools.partial(self._log_prob, variables, x, key)
        if self._learns_null and label is None and context is None:
            return log_prob(conditions.null(self, len(x)))
        return conditions.mixture(self, log_prob, len(x), label, context)

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
        condition = self._given_or_likely(variables, x, key, label, context)
        z = self._transform(variables, x, condition, key)[0].reshape(len(x), -1)
        if condition is None:
            return z
        return jnp.concatenate([z, condition[:, : conditions.features(self)]], axis=-1)

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
        key = jax.random.key(0)
        condition = self._given_or_likely(variables, x, key, label, context)
        return self._transform(variables, x, condition, key)[0].reshape(len(x), -1)

    def _given_or_likely(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        label: Array | None,
        context: Array | None,
    ) -> Array | None:
        log_prob = functools.partial(self._log_prob, variables, x, key)
        return conditions.given_or_likely(self, log_prob, len(x), label, context)

    @full_precision
    def _invert(
        self,
        variables: Variables,
        z: Array,
        condition: Array | None,
        guidance: Array | float | None = None,
    ) -> Array:
        context = self._context(condition)
        if guidance is not None:
            both = conditions.paired(conditions.null(self, len(z)), context)
            z, context = conditions.paired(z, z), Guided(both, guidance)
        (x, _), _ = flax_utils.apply(
            self.bijection, variables, 'flow', z.reshape(-1, *self.shape), context,
            method='inverse_and_log_det',
        )  # fmt: skip
        return x if guidance is None else conditions.unpaired(x)[1]

    def _context(self, condition: Array | None) -> Array | None:
        """The bijection's context: a condition with the feature of the null condition only if that
        is learned.
        """
        if condition is None:
            return None
        if self._learns_null:
            return conditions.with_null(self, condition)
        return condition[:, : conditions.features(self)]

    def _mapped(
        self, variables: Variables, x: Array, condition: Array | None
    ) -> tuple[Array, Array]:
        out, _ = flax_utils.apply(
            self.bijection, variables, 'flow', x, self._context(condition),
            method='transform_and_log_det',
        )  # fmt: skip
        return out

    def _transform(
        self,
        variables: Variables,
        x: Array,
        condition: Array | None,
        key: Array | None = None,
    ) -> tuple[Array, Array]:
        """Maps x to z, with what is added to the log-density of z; `key` is for subclasses whose
        map is random.
        """
        del key
        return self._mapped(variables, x, condition)

    def _log_prob(
        self, variables: Variables, x: Array, key: Array | None, condition: Array | None
    ) -> Array:
        return self._log_prob_and_log_det(variables, x, condition, key)[0]

    def _log_prob_and_log_det(
        self,
        variables: Variables,
        x: Array,
        condition: Array | None,
        key: Array | None = None,
    ) -> tuple[Array, Array]:
        z, log_det = self._transform(variables, x, condition, key)
        return self.base.log_prob(z.reshape(len(x), -1)) + log_det, log_det

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        condition = self._training_condition(batch, key)
        log_prob, log_det = self._log_prob_and_log_det(variables, batch['x'], condition, key)
        return LossOutput(-log_prob, {'log_det': log_det}, variables['state'])
