"""Lookup-free quantisation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.quantisers import Quantised, straight_through

_MOST = 16


class LookupFreeQuantiser(nn.Module):
    """LFQ (Yu et al., MAGVIT-v2, 2024): the codes are the 2^dim corners of [-1, 1]^dim, and a
    vector has the signs of its numbers.

    The penalty of a vector, in training, is entropy · (H(p) - diversity · H(p̄)), in nats, with
    p(c|h) ∝ exp(-‖h - c‖² / temperature) over all codes and p̄ its mean over the (micro-)batch:
    vectors prefer a code, and together use all. The paper has the second entropy over the batch,
    too; it takes memory for 2^dim numbers a vector.

    Attributes:
        dim: bits of a code, at most 16.
        entropy: weight of both entropies.
        diversity: weight of the second beside the first.
        temperature: of p.
    """

    dim: int = 8
    entropy: float = 0.1
    diversity: float = 1.0
    temperature: float = 1.0

    def __post_init__(self):
        if not 1 <= self.dim <= _MOST:
            raise UserError(f'LookupFreeQuantiser.dim is 1 to {_MOST} bits, not {self.dim}')
        if isinstance(self.temperature, int | float) and self.temperature <= 0:
            raise UserError(
                f'LookupFreeQuantiser.temperature must be positive, not {self.temperature}'
            )
        super().__post_init__()

    @property
    def num_codes(self) -> int:
        """2^dim."""
        return 2**self.dim

    def __call__(self, h: Array, weight: Array | float = 1.0, train: bool = False) -> Quantised:
        """Maps vectors h [..., dim] to codes."""
        h = h.astype(jnp.float32)
        signs = jnp.where(h > 0, 1.0, -1.0)
        index = jnp.sum((h > 0) * self._places, axis=-1).astype(jnp.int32)
        distance = jnp.sum((h - signs) ** 2, axis=-1)
        penalty = self._penalty(h, weight) if train else jnp.zeros(index.shape)
        return Quantised(straight_through(h, signs), index, distance, penalty)

    def lookup(self, index: Array) -> Array:
        """Returns the vectors [..., dim] of codes index [...]."""
        return 2.0 * (index[..., None] // self._places % 2) - 1.0

    def _penalty(self, h: Array, weight: Array | float) -> Array:
        # ‖h - c‖² = const - 2 h·c: a product of independent bits.
        log_one, log_zero = (jax.nn.log_sigmoid(s * 4.0 * h / self.temperature) for s in (1, -1))
        log_p = jnp.zeros((*h.shape[:-1], 1))
        for bit in reversed(range(self.dim)):  # the last bit is the most significant
            each = jnp.stack([log_zero[..., bit], log_one[..., bit]], axis=-1)
            log_p = (log_p[..., :, None] + each[..., None, :]).reshape(*h.shape[:-1], -1)
        p = jnp.exp(log_p)
        weight = jnp.broadcast_to(weight, p.shape[:-1])[..., None].astype(jnp.float32)
        others = tuple(range(p.ndim - 1))
        mean = jnp.sum(weight * p, axis=others) / jnp.maximum(jnp.sum(weight), 1.0)
        entropy = -jnp.sum(p * log_p, axis=-1)
        return self.entropy * (entropy - self.diversity * jnp.sum(jax.scipy.special.entr(mean)))

    @property
    def _places(self) -> Array:
        """Place value of each bit in the index."""
        return 2 ** jnp.arange(self.dim)
