"""Coupling: one part of an example steers an elementwise map of the other part."""

from dataclasses import field

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.flow.bijection import Bijection, sum_event
from genjax.models.flow.elementwise import Affine, Elementwise


class Coupling(Bijection):
    """Maps the last features of x given the first ones, which stay as they are (Dinh et al., 2015).

    With `Shift` it is NICE's layer, with `Affine` RealNVP's, with `Spline` that of neural spline
    flows. x is [B, D], or [B, ..., C] where features are channels. Put a permutation or an
    `InvertibleLinear` between couplings, so that every feature gets its turn. At first it is the
    identity.

    The network sees arcsinh(x), which is x where it is small and grows like log x. On x itself a
    network of rectified units goes on in straight lines, so that a few layers turned one pixel that
    no training image has into 10⁸ nats.

    Attributes:
        network: the part that stays to features: [B, F] for vectors, [B, ..., F] for images. A
            linear layer to the parameters of the map, which starts at zero, is put on it.
        transform: the map of each element.
    """

    network: nn.Module
    transform: Elementwise = field(default_factory=Affine)

    def __post_init__(self):
        refuse_dropout(self.network)
        super().__post_init__()

    def transform_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps the second part."""
        kept, changed = self._parts(x)
        changed, log_slope = self.transform.forward(self._params(kept, changed), changed)
        return jnp.concatenate([kept, changed], axis=-1), sum_event(log_slope)

    def inverse_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """Maps the second part back; it costs the same."""
        kept, changed = self._parts(z)
        changed, log_slope = self.transform.inverse(self._params(kept, changed), changed)
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
    def _params(self, kept: Array, changed: Array) -> Array:
        """Parameters of every changed element, [*changed, width] in float32."""
        h = self.network(jnp.arcsinh(kept))
        if h.shape[:-1] != changed.shape[:-1]:
            raise UserError(
                f'Coupling.network gives {h.shape[1:]} for {kept.shape[1:]}: it must keep all '
                'dimensions but the last, as ConvNet does; for an MLP put Flatten before it'
            )
        width = self.transform.width
        head = nn.Dense(changed.shape[-1] * width, kernel_init=nn.initializers.zeros, name='head')
        return head(h.astype(jnp.float32)).reshape(*changed.shape, width)


def refuse_dropout(network: nn.Module) -> None:
    """Raises a UserError for a network that would drop units: a density cannot depend on chance."""
    if getattr(network, 'dropout', 0):
        raise UserError(f'{type(network).__name__}.dropout must be 0 in a flow')
