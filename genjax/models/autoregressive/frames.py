"""Autoregressive models of sequences of binary frames."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, draws, flax_utils
from genjax.models.autoregressive.sequences import SequenceModel
from genjax.models.base import Batch, Phase, Values, Variables
from genjax.models.conditional import GuidedSampling


@dataclass(frozen=True)
class FrameModel(SequenceModel):
    """An autoregressive model of binary frames, such as piano rolls (Boulanger-Lewandowski et al.,
    2012): log p(x) = Σ log p(x_t | x_<t).

    The bits of a frame are independent given the previous frames. With `within`, each bit also
    depends on earlier bits of its frame, as in the paper's RNN-NADE.

    Frames of -1 at the end of a sequence are padding and ignored. Parameter groups are 'network'
    and 'within'; the loss is in nats per sequence. Metric: 'nats_per_token', a token being a frame.

    Attributes:
        network: causal, frames [B, T, D] to logits [B, T, D]; such as `TCN`, `Recurrent` or
            `Transformer`. Its field `shape` is the shape of one sequence. A network with the
            methods `initial_carry` and `step` samples a sequence in one pass.
        within: frames [N, D] to logits [N, D], added to those of `network`; autoregressive over the
            bits in some order, such as `MaskedAutoencoder`.
        sampling: sampling options.
    """

    network: nn.Module
    within: nn.Module | None = None
    sampling: GuidedSampling = field(default_factory=GuidedSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    def __post_init__(self):
        super().__post_init__()
        shape = flax_utils.event_shape(self.network, 'network')
        if len(shape) != 2:
            raise UserError('the network of a FrameModel needs shape=(length, bits of a frame)')
        if not getattr(self.network, 'causal', True):
            raise UserError('the network of a FrameModel must not see later frames: causal=True')
        if self.within is not None and flax_utils.event_shape(self.within, 'within') != shape[1:]:
            raise UserError(f'FrameModel.within.shape must be ({shape[1]},), the bits of a frame')

    @property
    def data_values(self) -> Values:
        """Bits, and -1 for padding."""
        return Values('FrameModel', -1, 1, whole=True)

    @property
    def phases(self) -> tuple[Phase, ...]:
        groups = ('network',) if self.within is None else ('network', 'within')
        return (Phase('network', groups, self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        x = self._shift(batch['x'])
        networks = {'network': (self._network, (x, conditions.of_batch(self, batch)))}
        if self.within is not None:
            networks['within'] = (self.within, (x[:, 0],))
        return flax_utils.initialise(key, networks)

    def _first(self, num: int) -> Array:
        return jnp.zeros((num, self.event_shape[1]), jnp.float32)

    def _clean(self, x: Array) -> Array:
        return jnp.maximum(x, 0.0)

    def _counted(self, x: Array) -> Array:
        return x[..., 0] >= 0

    def _element_log_probs(
        self, variables: Variables, logits: Array, x: Array, **options: Any
    ) -> Array:
        logits = logits + self._coupling(variables, self._clean(x), **options)
        values = jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)
        return jnp.where(self._counted(x), values, 0.0)

    def _draw(self, variables: Variables, key: Array, logits: Array, previous: Array) -> Array:
        del previous
        uniform = draws.fine_uniform(key, logits.shape)

        def settle(_, x: Array) -> Array:
            return draws.bits(uniform, logits + self._coupling(variables, x))

        # After n rounds the first n bits, in the order of `within`, are final.
        rounds = 1 if self.within is None else logits.shape[-1]
        return jax.lax.fori_loop(0, rounds, settle, jnp.zeros(logits.shape))

    def _coupling(self, variables: Variables, x: Array, **options: Any) -> Array | float:
        """Computes the logits [..., D] that `within` adds for frames x [..., D]."""
        if self.within is None:
            return 0.0
        frames = x.reshape(-1, x.shape[-1])
        out, _ = flax_utils.apply(self.within, variables, 'within', frames, **options)
        return out.reshape(x.shape)
