"""Elementwise maps given the context alone."""

from dataclasses import field

import flax.linen as nn
from jax import Array

from genjax.errors import UserError
from genjax.models.flow.bijection import Bijection, guided, rows_of, sum_event
from genjax.models.flow.coupling import refuse_dropout
from genjax.models.flow.elementwise import Affine, Elementwise


class Conditioned(Bijection):
    """Transforms every element of a vector [B, D] given the context, whatever the other elements.

    A flow of these alone has elements that are independent given the context, such as measurements
    with independent noise. Initialised as the identity.

    Attributes:
        network: the context [B, F] to features [B, H]. A zero-initialised linear head to the
            parameters of the map is added.
        transform: the elementwise map.
    """

    network: nn.Module
    transform: Elementwise = field(default_factory=Affine)

    def __post_init__(self):
        refuse_dropout(self.network)
        super().__post_init__()

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        z, log_slope = self.transform.forward(self._params(x, context), x)
        return z, sum_event(log_slope)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Inverts the map, at the same cost."""
        x, log_slope = self.transform.inverse(self._params(z, context), z)
        return x, sum_event(log_slope)

    @nn.compact
    def _params(self, x: Array, context: Array | None) -> Array:
        """Computes the parameters [B, D, width] of all elements."""
        if context is None:
            raise UserError('Conditioned is for flows with num_classes or context_shape')
        width = self.transform.width
        head = nn.Dense(x.shape[-1] * width, kernel_init=nn.initializers.zeros, name='head')
        return guided(head(self.network(rows_of(context))).reshape(*x.shape, width), context)
