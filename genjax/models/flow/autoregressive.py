"""Masked autoregressive bijections."""

import functools
from collections.abc import Callable
from dataclasses import field

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.flow.bijection import Bijection, guided, rows_of, sum_event
from genjax.models.flow.coupling import refuse_dropout
from genjax.models.flow.elementwise import Affine, Elementwise

_MANY = 8  # tokens; as many passes of a whole small network cost less for fewer


class Autoregressive(Bijection):
    """Maps token t of x by an elementwise map whose parameters depend on the tokens before t.

    The forward map takes one network pass; the inverse one per token. With `Affine` on vectors
    this is a layer of MAF (Papamakarios et al., 2017), and `Inverse` of it one of IAF (Kingma et
    al., 2016); on patches of images, with a causal transformer, one of TarFlow (Zhai et al.,
    2024). x is a vector [B, T], whose tokens are single numbers, or a sequence [B, T, P]. A context
    becomes a token before the first, and the smaller of the two kinds is filled with zeros.

    Attributes:
        network: tokens [B, T, P] to parameters [B, T, outputs]; row t depends on the tokens before
            t only, as in `networks.MaskedMLP` and `networks.TokenTransformer`. It is cloned with
            `outputs` set. The inverse uses its methods `initial_carry` and `step`, a cache of the
            tokens so far, if it has them, or its method `by_row` on a CPU.
        transform: the elementwise map.
    """

    network: nn.Module
    transform: Elementwise = field(default_factory=Affine)

    def __post_init__(self):
        refuse_dropout(self.network)
        super().__post_init__()

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Maps all tokens in one pass."""
        tokens = _tokens(x)
        network = self._network(tokens.shape[-1])
        params = guided(_params(network, tokens, rows_of(context)), context)
        z, log_slope = self.transform.forward(params, tokens)
        return z.reshape(x.shape), sum_event(log_slope)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Inverts the map token by token."""
        tokens = _tokens(z)
        network = self._network(tokens.shape[-1])
        if self.is_initializing():
            _params(
                network, tokens, rows_of(context)
            )  # create the parameters here: the scan below cannot
        network, variables = network.unbind()
        apply, known = functools.partial(network.apply, variables), rows_of(context)
        inputs, first = _inputs(tokens, known)

        def params(row: Array) -> Array:
            return guided(row.astype(jnp.float32).reshape(*tokens[:, 0].shape, -1), context)

        def whole() -> tuple[Array, Array]:
            def row(x: Array, carry: tuple, t: Array) -> tuple[Array, tuple]:
                return params(apply(_inputs(x, known)[0])[:, t + first]), carry

            return self._invert(tokens, (), row)

        def by_row() -> tuple[Array, Array]:
            carry, next_row = apply(inputs.shape, method='by_row')

            def row(x: Array, carry: tuple, t: Array) -> tuple[Array, tuple]:
                out, carry = next_row(_inputs(x, known)[0], carry, t + first)
                return params(out), carry

            return self._invert(tokens, carry, row)

        def by_step() -> tuple[Array, Array]:
            carry = apply(*inputs.shape[:2], method='initial_carry')
            start = jnp.zeros_like(inputs[:, 0])
            for t in range(first):
                carry = apply(start, carry, jnp.asarray(t), method='step')[1]
                start = inputs[:, t]

            def row(x: Array, carry: tuple, t: Array) -> tuple[Array, tuple]:
                before = _inputs(x, known)[0][:, t + first - 1]
                out, carry = apply(
                    jnp.where(t == 0, start, before), carry, t + first, method='step'
                )
                return params(out), carry

            return self._invert(tokens, carry, row)

        if getattr(network, 'step', None):
            x, log_det = by_step()
        elif getattr(network, 'by_row', None) and tokens.shape[1] >= _MANY:
            # An accelerator computes a whole pass in the time of a few small products.
            x, log_det = jax.lax.platform_dependent(cpu=by_row, default=whole)
        else:
            x, log_det = whole()
        return x.reshape(z.shape), log_det

    def _invert(self, z: Array, carry: tuple, row: Callable) -> tuple[Array, Array]:
        """Inverts the map of tokens z [B, T, P] one by one, with the parameters of token t from
        `row(x, carry, t)`, where x holds the tokens before it.
        """

        def step(state: tuple[Array, tuple], inputs: tuple[Array, Array]):
            x, carry = state
            t, z_t = inputs
            params, carry = row(x, carry, t)
            token, log_slope = self.transform.inverse(params, z_t)
            return (x.at[:, t].set(token), carry), sum_event(log_slope)

        inputs = jnp.arange(z.shape[1]), jnp.moveaxis(z, 1, 0)
        (x, _), log_dets = jax.lax.scan(step, (jnp.zeros_like(z), carry), inputs)
        return x, jnp.sum(log_dets, axis=0)

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


def _params(network: Callable[[Array], Array], tokens: Array, context: Array | None) -> Array:
    """Computes the parameters [*tokens, width] of the map of each token."""
    inputs, first = _inputs(tokens, context)
    return network(inputs)[:, first:].astype(jnp.float32).reshape(*tokens.shape, -1)


def _inputs(tokens: Array, context: Array | None) -> tuple[Array, int]:
    """Returns the network's input, with the context before the tokens, and the row of the first
    token.
    """
    if context is None:
        return tokens, 0
    parts = context.reshape(len(tokens), 1, -1).astype(jnp.float32), tokens
    size = max(part.shape[-1] for part in parts)
    padded = [jnp.pad(part, ((0, 0), (0, 0), (0, size - part.shape[-1]))) for part in parts]
    return jnp.concatenate(padded, axis=1), 1
