"""Masked models of tokens: masked diffusion (MDLM) and MaskGIT."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.base import Batch, LossOutput, Variables
from genjax.models.diffusion.discrete_base import DiscreteBound, DiscreteModel
from genjax.models.diffusion.discrete_paths import Masking
from genjax.models.diffusion.discrete_samplers import Confidence, smallest
from genjax.models.diffusion.sampling import DiscreteSampling, MaskGITSampling
from genjax.models.diffusion.time_schedules import PowerSchedule
from genjax.models.sampling_options import gathered


@dataclass(frozen=True)
class MDLM(DiscreteBound):
    """Masked diffusion of tokens (Sahoo et al., 2024; Shi et al., 2024): a `DiscreteDiffusion` with
    the path `Masking` and infinitely many steps.

    A token is masked by time t in [0, 1] with probability t. The negative evidence lower bound in
    continuous time is E_t (1/t) Σ_masked -log p(x_i | the tokens not masked). With t integrated out
    this is E_n (T/n) Σ_masked -log p(x_i | …) over n of the T tokens masked, n uniform in 1..T: the
    same bound with lower variance. It is the loss, in nats per sequence. The parameter group is
    'network'. Metric: 'nats_per_token'.

    Attributes:
        network: int32 [B, T] to logits [B, T, vocab_size], not causal; the token `vocab_size` is
            the mask. Such as `Transformer` with causal=False. Its optional argument `time` is the
            fraction of masked tokens (in sampling, the expected fraction).
        sampling: sampling options.
        eval_samples: masks per example in `log_prob`, with evenly spaced numbers of masked tokens.
    """

    network: nn.Module
    sampling: DiscreteSampling = field(default_factory=DiscreteSampling)
    eval_samples: int = 16

    FREE: ClassVar[tuple[str, ...]] = ('sampling', 'eval_samples')

    path = Masking()
    grid = PowerSchedule()

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config, whose sampling options were fields of the model."""
        return gathered(fields, DiscreteSampling, {'steps': 'steps'})

    def _bound(
        self,
        variables: Variables,
        x: Array,
        share: Array,
        noise_key: Array,
        network_key: Array | None,
        condition: Array | None = None,
        given: int = 0,
    ) -> tuple[Array, Variables]:
        length = max(x.shape[1] - given, 1)
        num = jnp.minimum(1 + jnp.floor(share * length), length)[:, None]
        losses, state = _masked_losses(
            self, variables, x, num, num / x.shape[1], noise_key, network_key, condition, given
        )
        return losses * (length / num), state


@dataclass(frozen=True)
class MaskGIT(DiscreteModel):
    """Masked token model decoded by confidence (Chang et al., 2022). It has no likelihood.

    Training masks a fraction cos(π r / 2) of the tokens, r uniform; the loss is the mean of -log p
    over them, in nats. Each sampling step draws all masked tokens and masks the least confident
    again, fewer at each step. The parameter group is 'network'.

    Attributes:
        network: int32 [B, T] to logits [B, T, vocab_size], not causal; the token `vocab_size` is
            the mask. Such as `Transformer` with causal=False.
        sampling: sampling options.
    """

    network: nn.Module
    sampling: MaskGITSampling = field(default_factory=MaskGITSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    path = Masking('sine')
    grid = PowerSchedule()

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config, whose sampling options were fields of the model."""
        names = {name: name for name in ('steps', 'choice_temperature')}
        return gathered(fields, MaskGITSampling, names)

    @property
    def _sampler(self) -> Confidence:
        return Confidence(self.sampling.choice_temperature)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        condition = self._training_condition(batch, key)
        time_key, mask_key, network_key = jax.random.split(key, 3)
        x = batch['x']
        t = 1.0 - jax.random.uniform(time_key, (len(x), 1))
        num = jnp.ceil(self.path.lost(t) * x.shape[1])
        losses, state = _masked_losses(self, variables, x, num, t, mask_key, network_key, condition)
        return LossOutput(jnp.sum(losses, axis=-1) / num[:, 0], {}, state)


def _masked_losses(
    model: DiscreteModel,
    variables: Variables,
    x: Array,
    num: Array,
    t: Array,
    mask_key: Array,
    network_key: Array | None,
    condition: Array | None,
    given: int = 0,
) -> tuple[Array, Variables]:
    """Computes -log p of the masked tokens, [B, T], 0 elsewhere, and the new state.

    Masks `num` [B, 1] random tokens, none of the first `given`; t [B, 1] is the network's time
    input.
    """
    order = jax.random.uniform(mask_key, x.shape)
    masked = smallest(jnp.where(jnp.arange(x.shape[1]) < given, jnp.inf, order), num)
    seen = jnp.where(masked, model.num_values, x)
    log_probs, state = model.log_probs(variables, seen, t, network_key, condition)
    return -jnp.take_along_axis(log_probs, x[..., None], axis=-1)[..., 0], state
