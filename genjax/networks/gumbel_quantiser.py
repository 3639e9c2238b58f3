"""Categorical codes with the Gumbel-softmax relaxation."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.quantisers import Quantised, straight_through


class GumbelQuantiser(nn.Module):
    """Codes drawn from q(c|h) = softmax(h), relaxed in training (Jang et al., 2017; Maddison et
    al., 2017; the discrete VAE of Ramesh et al., DALL-E, 2021). The vectors of the codes are
    one-hot, so that a linear layer after it is the codebook.

    In training z = softmax((h + Gumbel noise) / temperature), or with `hard` the one-hot vector of
    its largest element, with the gradient of the softmax; otherwise the most probable code. The
    penalty is rate · KL(q ‖ uniform) in nats: with a rate of 1 and a `commitment` of 0 the loss of
    a `VQVAE` is its negated ELBO for codes that are uniform a priori, but for the relaxation.

    Attributes:
        num_codes: number of codes, and dimension of a vector.
        temperature: of the relaxation; usually `Scheduled` from about 1 down to about .1.
        rate: weight of the divergence from the uniform distribution.
        hard: pass one-hot vectors forward (straight-through Gumbel-softmax).
    """

    num_codes: int = 64
    temperature: float = 1.0
    rate: float = 1.0
    hard: bool = False

    def __post_init__(self):
        if isinstance(self.temperature, int | float) and self.temperature <= 0:
            raise UserError(f'GumbelQuantiser.temperature must be positive, not {self.temperature}')
        super().__post_init__()

    @property
    def dim(self) -> int:
        """Dimension of a vector."""
        return self.num_codes

    def __call__(self, h: Array, weight: Array | float = 1.0, train: bool = False) -> Quantised:
        """Maps logits h [..., num_codes] to codes; `weight` is not used."""
        del weight
        h = h.astype(jnp.float32)
        zeros = jnp.zeros(h.shape[:-1])
        if not train:
            index = jnp.argmax(h, axis=-1).astype(jnp.int32)
            return Quantised(self.lookup(index), index, zeros, zeros)
        noisy = h + jax.random.gumbel(self.make_rng('dropout'), h.shape)
        index = jnp.argmax(noisy, axis=-1).astype(jnp.int32)
        z = jax.nn.softmax(noisy / self.temperature, axis=-1)
        if self.hard:
            z = straight_through(z, self.lookup(index))
        log_q = jax.nn.log_softmax(h, axis=-1)
        kl = math.log(self.num_codes) + jnp.sum(jnp.exp(log_q) * log_q, axis=-1)
        return Quantised(z, index, zeros, self.rate * kl)

    def lookup(self, index: Array) -> Array:
        """Returns the one-hot vectors [..., num_codes] of codes index [...]."""
        return jax.nn.one_hot(index, self.num_codes)
