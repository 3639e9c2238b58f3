"""Inverse autoregressive flow for posteriors."""

from dataclasses import field

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.flow.elementwise import Affine, Elementwise
from genjax.networks.masked import MaskedMLP


class InverseAutoregressive(nn.Module):
    """Inverse autoregressive flow given a context (Kingma et al., 2016): each step maps every
    dimension given the previous ones and the context, then reverses their order.

    Attributes:
        network: tokens [B, T, 1] to parameters [B, T, outputs] of a token given those before it;
            the first tokens are the context. It is cloned with `outputs` set.
        steps: number of steps.
        transform: the elementwise map.
    """

    network: nn.Module = field(default_factory=lambda: MaskedMLP((128,)))
    steps: int = 2
    transform: Elementwise = field(default_factory=Affine)

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f'InverseAutoregressive.steps must be at least 1, not {self.steps}')
        super().__post_init__()

    @nn.compact
    def __call__(self, z: Array, context: Array) -> tuple[Array, Array]:
        """Maps z [B, D], given the context [B, C], to new codes, with log |det| [B]."""
        total = jnp.zeros(len(z))
        for step in range(self.steps):
            tokens = jnp.concatenate([context, z], axis=-1)[..., None]
            network = self.network.clone(
                outputs=self.transform.width, parent=self, name=f'step_{step}'
            )
            params = network(tokens)[:, context.shape[-1] :].astype(jnp.float32)
            z, log_slope = self.transform.forward(params, z)
            total += jnp.sum(log_slope, axis=-1)
            z = jnp.flip(z, axis=-1)
        return z, total
