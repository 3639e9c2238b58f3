"""Autoregressive models of tokens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws, flax_utils
from genjax.models.autoregressive.beam import beam_search
from genjax.models.autoregressive.decoding import TokenSampling, penalised
from genjax.models.autoregressive.sequences import SequenceModel
from genjax.models.base import Values, Variables
from genjax.models.sampling_options import gathered


@dataclass(frozen=True)
class GPT(SequenceModel):
    """An autoregressive model of tokens, log p(x) = Σ log p(x_t | x_<t) (Radford et al., 2018).

    The parameter group is 'network'; the loss is in nats per sequence. Metric: 'nats_per_token'.

    Attributes:
        network: causal, int32 [B, T] to logits [B, T, vocab_size]; such as `Transformer`,
            `Recurrent` or `TCN`. Its fields `shape` and `vocab_size` are the shape of one sequence
            and the number of tokens; the begin-of-sequence token is `vocab_size`. A network with
            the methods `initial_carry` and `step` samples a sequence in one pass, with `resized`
            over a carry that grows; any other takes one pass per token.
        end: the end-of-sequence token, for sequences that may end early. It is repeated as padding,
            which is ignored.
        sampling: sampling options.
    """

    network: nn.Module
    end: int | None = None
    sampling: TokenSampling = field(default_factory=TokenSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    def __post_init__(self):
        super().__post_init__()
        flax_utils.event_shape(self.network, 'network')
        if getattr(self.network, 'vocab_size', None) is None:
            raise UserError('the network of a GPT needs a field vocab_size')
        if not getattr(self.network, 'causal', True):
            raise UserError('the network of a GPT must not see later tokens: set causal=True')
        if self.end is not None and not 0 <= self.end < self.network.vocab_size:
            raise UserError(f'GPT.end={self.end} is none of the {self.network.vocab_size} tokens')

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config, whose sampling options were fields of the model."""
        names = {name: name for name in ('temperature', 'top_k', 'top_p')}
        return gathered(fields, TokenSampling, names)

    @property
    def vocab_size(self) -> int:
        return self.network.vocab_size

    @property
    def data_values(self) -> Values:
        return Values('GPT', 0, self.vocab_size - 1, whole=True)

    def _first(self, num: int) -> Array:
        return jnp.full(num, self.network.vocab_size, jnp.int32)

    def _clean(self, x: Array) -> Array:
        return x

    def _counted(self, x: Array) -> Array:
        if self.end is None:
            return jnp.ones(x.shape, bool)
        return jnp.cumsum(x == self.end, axis=-1) - (x == self.end) == 0

    def _element_log_probs(
        self, variables: Variables, logits: Array, x: Array, **options: Any
    ) -> Array:
        del variables, options
        values = jnp.take_along_axis(jax.nn.log_softmax(logits), x[..., None], axis=-1)[..., 0]
        if self.end is None:
            return values
        # Other tokens after the end are impossible.
        return jnp.where(self._counted(x), values, jnp.where(x == self.end, 0.0, -jnp.inf))

    def _draw(self, variables: Variables, key: Array, logits: Array, previous: Array) -> Array:
        del variables
        token = draws.categorical(key, self.sampling.filter(logits.astype(jnp.float32)))
        return token if self.end is None else jnp.where(previous == self.end, self.end, token)

    @property
    def _width(self) -> int:
        return self.sampling.beams or 1

    def _generate(
        self,
        step: Callable[[Array, Any, Array], tuple[Array, Any]],
        carry: Any,
        first: Array,
        draw: Callable[[Array, Array, Array], Array],
        key: Array,
        prompt: tuple[Array, Array],
        resized: Callable[[Any, int], Any] | None,
    ) -> Array:
        if self.sampling.beams is not None:
            found, _ = beam_search(
                self._filtered(step), carry, first, prompt, self._width, self._reordered, self.end
            )
            return found[:, 0]
        if self.sampling.penalises:
            step = penalised(step, self.sampling.repetition_penalty)
            carry, resize = (carry, jnp.zeros((len(first), self.vocab_size), bool)), resized
            if resize is not None:
                resized = lambda carry, length: (resize(carry[0], length), carry[1])  # noqa: E731
        return super()._generate(step, carry, first, draw, key, prompt, resized)

    def _filtered(self, step: Callable) -> Callable:
        def filtered(*args: Any) -> tuple[Array, Any]:
            logits, carry = step(*args)
            return self.sampling.filter(logits.astype(jnp.float32)), carry

        return filtered

    def _reordered(self, carry: Any, rows: Array) -> Any:
        """Returns the carry of these rows, for all passes of the network."""
        passes = jnp.arange(self._passes)  # of a row, side by side
        rows = (self._passes * rows[:, None] + passes).reshape(-1)
        if not hasattr(self.network, 'step'):
            return carry[rows]

        def taken(leaf: Array, few: Any, more: Any) -> Array:
            sizes = enumerate(zip(few.shape, more.shape, strict=True))
            axis = next(axis for axis, (a, b) in sizes if a != b)
            return jnp.take(leaf, rows, axis=axis)

        few, more = (jax.eval_shape(lambda n=n: self._network.initial_carry(n)) for n in (2, 3))
        return jax.tree.map(taken, carry, few, more)
