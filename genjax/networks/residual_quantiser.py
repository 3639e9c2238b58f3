"""Residual vector quantisation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.networks.quantisers import Quantised, VectorQuantiser, straight_through


class ResidualQuantiser(nn.Module):
    """A sum of codes, each of which quantises what those before it leave (Zeghidour et al.,
    SoundStream, 2021; Lee et al., RQ-VAE, 2022): `num_codes` to the power `depth` sums from `depth`
    codebooks of `num_codes`.

    A vector has `depth` tokens, the coarsest first. Its distance is the sum over d of its squared
    distances from the sums of the first d codes.

    Attributes:
        depth: number of codebooks.
        num_codes: number of codes of each.
        dim: dimension of a vector.
        decay: see `VectorQuantiser`.
        restart: see `VectorQuantiser`.
    """

    depth: int = 4
    num_codes: int = 64
    dim: int = 8
    decay: float = 0.99
    restart: float = 0.1

    def setup(self):
        options = (self.num_codes, self.dim, self.decay, self.restart)
        self.level = [VectorQuantiser(*options) for _ in range(self.depth)]

    def __call__(self, h: Array, weight: Array | float = 1.0, train: bool = False) -> Quantised:
        """Maps vectors h [..., dim] to the sums of their codes, and indices [..., depth]."""
        rest, index, distance = h.astype(jnp.float32), [], 0.0
        for level in self.level:
            code = level(rest, weight, train)
            index.append(code.index)
            distance += code.distance
            rest = rest - jax.lax.stop_gradient(code.z)
        z = straight_through(h, h - rest)
        return Quantised(z, jnp.stack(index, axis=-1), distance, jnp.zeros(distance.shape))

    def lookup(self, index: Array) -> Array:
        """Returns the vectors [..., dim] of the codes index [..., depth]."""
        return sum(level.lookup(index[..., d]) for d, level in enumerate(self.level))
