"""Quantisers: layers that map vectors to a finite set of codes.

Each has fields or properties `dim`, the dimension of a vector, and `num_codes`, and the methods
`__call__(h [..., dim], weight, train) -> Quantised` and `lookup(index [...]) -> z [..., dim]`.
Updates in training weight each vector by `weight`, which broadcasts to [...]. The gradient is
passed straight through to `h` (Bengio et al., 2013). A field `depth` is the number of tokens of
a vector: index [..., depth].
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError


class Quantised(NamedTuple):
    """Output of a quantiser.

    Attributes:
        z: the codes' vectors [..., dim], with a straight-through gradient to the input.
        index: index of the codes, int32 [...] or [..., depth].
        distance: squared distance of the input from its code, [...]; its gradient pulls `h`
            towards the code. Zero for fixed codes.
        penalty: further loss of the code in training, [...].
    """

    z: Array
    index: Array
    distance: Array
    penalty: Array


def code_counts(index: Array, num_codes: int, weight: Array | float = 1.0) -> Array:
    """Counts the codes in index [...], float32 [num_codes], weighted by `weight`, which broadcasts
    to [...].
    """
    return jnp.zeros(num_codes).at[index].add(weight)


def codebook_use(counts: Array) -> tuple[Array, Array]:
    """Computes the fraction of used codes and the perplexity, exp of the entropy, of counts [K]."""
    shares = counts / jnp.maximum(jnp.sum(counts), 1.0)
    entropy = jnp.sum(jax.scipy.special.entr(shares))
    return jnp.mean(counts > 0), jnp.exp(entropy)


def straight_through(h: Array, z: Array) -> Array:
    """Returns z, with its gradient passed to h."""
    return h + jax.lax.stop_gradient(z - h)


class VectorQuantiser(nn.Module):
    """A codebook of moving averages (van den Oord et al., 2017, appendix A.1; Razavi et al., 2019).

    State collection 'codebook': `count` [num_codes] and `total` [num_codes, dim], moving averages
    of the fraction of a batch's vectors assigned to each code, and of their sum divided by the
    number of all vectors; a code is total / count. Unused codes are restarted at a vector of the
    batch (Dhariwal et al., 2020). A batch is quantised before it updates the codebook. The initial
    codes are vectors of the first batch.

    A call in training adds `fresh` and `lot` to the collection; `restart_unused` consumes them once
    per update.

    Attributes:
        num_codes: number of codes.
        dim: dimension of a vector.
        decay: of the moving averages.
        restart: restart codes with an average use below this fraction of uniform use.
    """

    num_codes: int = 64
    dim: int = 8
    decay: float = 0.99
    restart: float = 0.1

    @nn.compact
    def __call__(self, h: Array, weight: Array | float = 1.0, train: bool = False) -> Quantised:
        """Maps vectors h [..., dim] to the nearest codes; training updates the averages.

        Raises:
            UserError: the vectors have another dimension.
        """
        if h.shape[-1] != self.dim:
            raise UserError(f'VectorQuantiser(dim={self.dim}) got vectors of {h.shape[-1]} numbers')
        vectors = h.reshape(-1, self.dim).astype(jnp.float32)
        count, total = self._variables(vectors)
        codes = jnp.asarray(total.value / count.value[:, None])  # variables may be NumPy's
        index = nearest_code(vectors, codes)
        if train:
            weight = jnp.broadcast_to(weight, h.shape[:-1]).reshape(-1).astype(jnp.float32)
            new_count, new_total = moving_averages(
                count.value, total.value, jax.lax.stop_gradient(vectors), index, weight, self.decay
            )
            count.value, total.value = new_count, new_total
            shape = (self.num_codes, len(vectors))
            lots = jnp.log(weight) + jax.random.gumbel(self.make_rng('dropout'), shape)
            fresh = jax.lax.stop_gradient(vectors[jnp.argmax(lots, axis=1)])
            self.variable('codebook', 'fresh', lambda: None).value = fresh
            self.variable('codebook', 'lot', lambda: None).value = jnp.max(lots, axis=1)
        z = jax.lax.stop_gradient(codes[index])
        distance = jnp.sum((vectors - z) ** 2, axis=-1).reshape(h.shape[:-1])
        z = straight_through(vectors, z).reshape(h.shape)
        return Quantised(z, index.reshape(h.shape[:-1]), distance, jnp.zeros(distance.shape))

    def lookup(self, index: Array) -> Array:
        """Returns the vectors [..., dim] of codes index [...]."""
        count, total = (self.get_variable('codebook', name) for name in ('count', 'total'))
        return total[index] / count[index][..., None]

    def _variables(self, vectors: Array) -> tuple[nn.Variable, nn.Variable]:
        even = 1 / self.num_codes

        def first_total() -> Array:
            rows = jax.random.randint(self.make_rng('params'), (self.num_codes,), 0, len(vectors))
            noise = 1e-3 * jax.random.normal(self.make_rng('params'), (self.num_codes, self.dim))
            return even * (vectors[rows] + noise)

        count = self.variable('codebook', 'count', jnp.full, self.num_codes, even, jnp.float32)
        return count, self.variable('codebook', 'total', first_total)


def nearest_code(vectors: Array, codes: Array) -> Array:
    """Returns the index [N] of the code [K, D] nearest to each vector [N, D]."""
    products = jnp.matmul(vectors, codes.T, precision='highest')
    squared = jnp.sum(codes**2, axis=-1) - 2 * products
    return jnp.argmin(squared, axis=-1).astype(jnp.int32)


def moving_averages(
    count: Array, total: Array, vectors: Array, index: Array, weight: Array, decay: float
) -> tuple[Array, Array]:
    """Updates the averages [K] and [K, D] with a batch of vectors [N, D] of weight [N], assigned to
    codes index [N].
    """
    shares = weight / jnp.maximum(jnp.sum(weight), 1e-12)
    members = jax.nn.one_hot(index, len(count)) * shares[:, None]
    new_count = decay * count + (1 - decay) * jnp.sum(members, axis=0)
    sums = jnp.matmul(members.T, vectors, precision='highest')
    return new_count, decay * total + (1 - decay) * sums


def restart_unused(
    count: Array, total: Array, fresh: Array, lot: Array, share: float
) -> tuple[Array, Array]:
    """Restarts codes with an average use below `share` of uniform use.

    Args:
        count: moving averages of use, [K].
        total: moving averages of the sums, [K, D].
        fresh: candidate vector of each of M micro-batches for each code, [M, K, D].
        lot: Gumbel score of each candidate, [M, K]; the candidate of the largest score is a draw
            from all vectors, proportional to their weights.
        share: threshold as a fraction of uniform use.

    Returns:
        The new count and total.
    """
    even = 1 / len(count)
    chosen = fresh[jnp.argmax(lot, axis=0), jnp.arange(len(count))]
    unused = count < share * even
    return jnp.where(unused, even, count), jnp.where(unused[:, None], even * chosen, total)


class FiniteScalarQuantiser(nn.Module):
    """FSQ (Mentzer et al., 2024): bounds each dimension and rounds it to one of a few levels.

    The codes are fixed: all combinations of levels, spread over [-1, 1].

    Attributes:
        levels: number of levels of each dimension, at least 3.
    """

    levels: tuple[int, ...] = (8, 5, 5)

    def __post_init__(self):
        if not self.levels or min(self.levels) < 3:
            raise UserError(f'FiniteScalarQuantiser.levels are at least 3 each, not {self.levels}')
        if self.num_codes >= 2**31:
            raise UserError(
                f'FiniteScalarQuantiser.levels {self.levels} make {self.num_codes} codes, more than'
                ' an int32 can number: choose fewer levels'
            )
        super().__post_init__()

    @property
    def dim(self) -> int:
        """Dimension of a vector."""
        return len(self.levels)

    @property
    def num_codes(self) -> int:
        """The product of the levels."""
        return math.prod(self.levels)

    def __call__(self, h: Array, weight: Array | float = 1.0, train: bool = False) -> Quantised:
        """Maps vectors h [..., dim] to codes; `weight` and `train` are not used."""
        del weight, train
        levels = np.asarray(self.levels)
        # Shift an even number of levels by half a step, so that 0 is not a rounding boundary.
        reach = (levels - 1) * (1 + 1e-3) / 2
        offset = np.where(levels % 2 == 0, 0.5, 0.0)
        shift = np.arctanh(offset / reach)
        bounded = jnp.tanh(h.astype(jnp.float32) + shift) * reach - offset
        half = levels // 2
        # Clip: from 1,001 levels on, `reach` exceeds the last level by more than half a level.
        nearest = jnp.clip(jnp.round(bounded), -half, levels - 1 - half)
        rounded = straight_through(bounded, nearest)
        digits = jax.lax.stop_gradient(rounded).astype(jnp.int32) + half
        index = jnp.sum(digits * self._places, axis=-1).astype(jnp.int32)
        zeros = jnp.zeros(index.shape)
        return Quantised(rounded / half, index, zeros, zeros)

    def lookup(self, index: Array) -> Array:
        """Returns the vectors [..., dim] of codes index [...]."""
        levels = np.asarray(self.levels)
        digits = index[..., None] // self._places % levels
        return ((digits - levels // 2) / (levels // 2)).astype(jnp.float32)

    @property
    def _places(self) -> np.ndarray:
        """Stride of each dimension in the index."""
        return np.concatenate([[1], np.cumprod(self.levels[:-1])]).astype(np.int32)
