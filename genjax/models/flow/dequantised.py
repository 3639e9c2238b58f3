"""Flows of whole numbers with learned dequantisation noise."""

import math
from dataclasses import dataclass, field

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LogProb, Phase, Values, Variables
from genjax.models.flow.bijection import Chain, sum_event
from genjax.models.flow.flow import Flow
from genjax.models.precision import full_precision


@dataclass(frozen=True)
class DequantisedFlow(Flow):
    """A flow of whole numbers x in 0..levels - 1 with variational dequantisation (Ho et al.,
    Flow++, 2019, eq. 12): a second flow gives the noise u in (0, 1) its density given x, and both
    are trained on

        log P(x) ≥ E_u [log p(x + u) - log q(u | x)].

    It takes the place of `data.Dequantise`, whose noise is uniform, and of `data.Logit`: the flow
    is of y = logit(alpha + (1 - 2 alpha) (x + u) / levels).

    Parameter groups: 'flow' and 'noise'. `log_prob` is a lower bound, from one draw of u.

    Attributes:
        noise: bijection of normal noise of the shape of an example to the logits of u; its context
            is the example, scaled to [-1, 1] and flattened, followed by the flow's condition.
        levels: number of values.
        alpha: as in `data.Logit`.
    """

    noise: nn.Module = field(default_factory=Chain)
    levels: int = 256
    alpha: float = 0.05

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.levels, int) and not 2 <= self.levels <= 256:
            raise UserError(f'DequantisedFlow.levels={self.levels} must be between 2 and 256')
        if isinstance(self.alpha, int | float) and not 0 < self.alpha < 0.5:
            raise UserError(f'DequantisedFlow.alpha={self.alpha} must be in (0, 0.5)')
        if self._denoises:
            raise UserError('DequantisedFlow draws whole numbers: FlowSampling.denoise must be 0')

    @property
    def data_values(self) -> Values:
        return Values('DequantisedFlow', 0, self.levels - 1, whole=True)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('flow', ('flow', 'noise'), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `ActNorm` takes its statistics from `batch`. Raises like
        `Flow.init`.
        """
        flow_key, noise_key, key = jax.random.split(key, 3)
        x, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        args = jnp.zeros(x.shape), self._noise_context(x, condition)
        noise = flax_utils.initialise(noise_key, {'noise': (self.noise, args)})
        y, _ = self._dequantised(noise, x, condition, key)
        flow = super().init(flow_key, {**batch, 'x': y})
        return {name: {**flow[name], **noise[name]} for name in flow}

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
        """Computes a lower bound [B] of log P(x) from one draw of the noise; without a condition as
        in `Flow.log_prob`, and raises like it.
        """
        value = self._log_prob_or_mixture(variables, x, key, label, context)
        return LogProb(value, 'lower_bound')

    def _transform(
        self,
        variables: Variables,
        x: Array,
        condition: Array | None,
        key: Array | None = None,
    ) -> tuple[Array, Array]:
        y, log_ratio = self._dequantised(variables, x.astype(jnp.float32), condition, key)
        z, log_det = self._mapped(variables, y, condition)
        return z, log_det + log_ratio

    def _invert(
        self,
        variables: Variables,
        z: Array,
        condition: Array | None,
        guidance: Array | float | None = None,
    ) -> Array:
        y = super()._invert(variables, z, condition, guidance)
        share = (jax.nn.sigmoid(y) - self.alpha) / (1.0 - 2.0 * self.alpha)
        return jnp.clip(jnp.floor(self.levels * share), 0, self.levels - 1)

    def _dequantised(
        self, variables: Variables, x: Array, condition: Array | None, key: Array
    ) -> tuple[Array, Array]:
        """Draws y given x, and returns log |dy/du| - log q(u | x), [B]."""
        noise = jax.random.normal(key, x.shape)
        (logit, log_det), _ = flax_utils.apply(
            self.noise, variables, 'noise', noise, self._noise_context(x, condition),
            method='transform_and_log_det',
        )  # fmt: skip
        log_u, log_1_u = jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)
        log_normal = -0.5 * sum_event(noise**2 + math.log(2 * math.pi))
        log_q = log_normal - log_det - sum_event(log_u + log_1_u)
        share = self.alpha + (1.0 - 2.0 * self.alpha) * (x + jnp.exp(log_u)) / self.levels
        slope = jnp.log1p(-2.0 * self.alpha) - jnp.log(jnp.float32(self.levels))
        slopes = slope - jnp.log(share) - jnp.log1p(-share)
        return jnp.log(share) - jnp.log1p(-share), sum_event(slopes) - log_q

    def _noise_context(self, x: Array, condition: Array | None) -> Array:
        centred = 2.0 * x.reshape(len(x), -1).astype(jnp.float32) / (self.levels - 1) - 1.0
        if condition is None:
            return centred
        return jnp.concatenate([centred, self._context(condition)], axis=-1)
