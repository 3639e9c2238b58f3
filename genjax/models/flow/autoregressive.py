"""Masked autoregressive bijections."""

from dataclasses import field

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.flow.bijection import Bijection, sum_event
from genjax.models.flow.coupling import refuse_dropout
from genjax.models.flow.elementwise import Affine, Elementwise


class Autoregressive(Bijection):
    """Maps token t of x by an elementwise map whose parameters depend on the tokens before t.

    The forward map takes one network pass; the inverse one per token. With `Affine` on vectors
    this is a layer of MAF (Papamakarios et al., 2017), and `Inverse` of it one of IAF (Kingma et
    al., 2016); on patches of images, with a causal transformer, one of TarFlow (Zhai et al.,
    2024). x is a vector [B, T], whose tokens are single numbers, or a sequence [B, T, P].

    Attributes:
        network: tokens [B, T, P] to parameters [B, T, outputs]; row t depends on the tokens before
            t only, as in `networks.MaskedMLP` and `networks.CausalTransformer`. It is cloned with
            `outputs` set.
        transform: the elementwise map.
    """

    network: nn.Module
    transform: Elementwise = field(default_factory=Affine)

    def __post_init__(self):
        refuse_dropout(self.network)
        super().__post_init__()

    def transform_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps all tokens in one pass."""
        tokens = _tokens(x)
        params = _shaped(self._network(tokens.shape[-1])(tokens), tokens)
        z, log_slope = self.transform.forward(params, tokens)
        return z.reshape(x.shape), sum_event(log_slope)

    def inverse_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """Inverts the map token by token."""
        tokens = _tokens(z)
        network = self._network(tokens.shape[-1])
        if self.is_initializing():
            network(tokens)  # create the parameters here: the scan below cannot
        network, variables = network.unbind()

        def step(x: Array, t: Array) -> tuple[Array, Array]:
            """Computes token t from the tokens before it."""
            params = _shaped(network.apply(variables, x), x)
            params_t, z_t = (jax.lax.dynamic_index_in_dim(a, t, 1, False) for a in (params, tokens))
            token, log_slope = self.transform.inverse(params_t, z_t)
            return x.at[:, t].set(token), sum_event(log_slope)

        x, log_dets = jax.lax.scan(step, jnp.zeros_like(tokens), jnp.arange(tokens.shape[1]))
        return x.reshape(z.shape), jnp.sum(log_dets, axis=0)

    @nn.compact
    def _network(self, token_size: int) -> nn.Module:
        return self.network.clone(
            outputs=token_size * self.transform.width, parent=self, name='masked'
        )


def _tokens(x: Array) -> Array:
    """Reshapes x to [B, T, P] in float32."""
    if x.ndim not in (2, 3):
        raise UserError(
            f'Autoregressive works on vectors (T,) and sequences (T, P), not on {x.shape[1:]}: put '
            'Tokens or Flatten before it'
        )
    return x.reshape(*x.shape[:2], -1).astype(jnp.float32)


def _shaped(params: Array, tokens: Array) -> Array:
    return params.astype(jnp.float32).reshape(*tokens.shape, -1)
