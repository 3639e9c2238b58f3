"""Coupling layers."""

from dataclasses import field

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.flow.bijection import Bijection, guided, rows_of, sum_event
from genjax.models.flow.elementwise import Affine, Elementwise


class Coupling(Bijection):
    """Transforms the second half of the features given the first half, which stays unchanged
    (Dinh et al., 2015).

    With `Shift` it is NICE's layer, with `Affine` RealNVP's, with `Spline` that of neural spline
    flows. x is [B, D], or [B, ..., C] where features are channels. Put a permutation or an
    `InvertibleLinear` between couplings, so that every feature is transformed. Initialised as the
    identity.

    The network's input is arcsinh(x), close to x for small x and logarithmic for large x. Given x
    itself, a network of rectified units extrapolates linearly, and in a few layers a single pixel
    with a value outside the training data came to cost 10⁸ nats.

    Attributes:
        network: the unchanged half, with a context appended to its last dimension, to features:
            [B, F] for vectors, [B, ..., F] for images. A zero-initialised linear head to the
            parameters of the map is added.
        transform: the elementwise map.
    """

    network: nn.Module
    transform: Elementwise = field(default_factory=Affine)

    def __post_init__(self):
        refuse_dropout(self.network)
        super().__post_init__()

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        kept, changed = self._parts(x)
        changed, log_slope = self.transform.forward(self._params(kept, changed, context), changed)
        return jnp.concatenate([kept, changed], axis=-1), sum_event(log_slope)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Inverts the map, at the same cost."""
        kept, changed = self._parts(z)
        changed, log_slope = self.transform.inverse(self._params(kept, changed, context), changed)
        return jnp.concatenate([kept, changed], axis=-1), sum_event(log_slope)

    def _parts(self, x: Array) -> tuple[Array, Array]:
        size = x.shape[-1]
        if size < 2:
            raise UserError(
                f'Coupling needs at least 2 features to split, not {size}: put Squeeze before it,'
                ' which makes channels of pixels, or Flatten, which makes a vector of an image'
            )
        x = x.astype(jnp.float32)
        return x[..., : (size + 1) // 2], x[..., (size + 1) // 2 :]

    @nn.compact
    def _params(self, kept: Array, changed: Array, context: Array | None) -> Array:
        """Computes the parameters of every transformed element, [*changed, width] in float32."""
        h = self.network(with_context(jnp.arcsinh(kept), rows_of(context)))
        if h.shape[:-1] != changed.shape[:-1]:
            raise UserError(
                f'Coupling.network gives {h.shape[1:]} for {kept.shape[1:]}: it must keep all '
                'dimensions but the last, as ConvNet does; for an MLP put Flatten before it'
            )
        width = self.transform.width
        head = nn.Dense(changed.shape[-1] * width, kernel_init=nn.initializers.zeros, name='head')
        return guided(head(h.astype(jnp.float32)).reshape(*changed.shape, width), context)


def with_context(x: Array, context: Array | None) -> Array:
    """Appends the context [B, F] to the last dimension of x [B, ..., C], the same everywhere."""
    if context is None:
        return x
    context = context.reshape(len(x), *(1,) * (x.ndim - 2), -1).astype(x.dtype)
    return jnp.concatenate([x, jnp.broadcast_to(context, (*x.shape[:-1], context.shape[-1]))], -1)


def refuse_dropout(network: nn.Module) -> None:
    """Raises a UserError for a network with dropout: a density must be deterministic."""
    if getattr(network, 'dropout', 0):
        raise UserError(f'{type(network).__name__}.dropout must be 0 in a flow')
