"""The interface of a bijection, and compositions of bijections.

A bijection is a Linen module with a forward and an inverse method, each with its log-determinant:

    z, log_det = bijection.transform_and_log_det(x)     # log |det dz/dx|, float32 [B], in nats
    x, log_det = bijection.inverse_and_log_det(z)       # log |det dx/dz|, its negative

`x` is [B, *event]. Examples are independent of each other. In a flow `x` are data and `z` is noise.
Both methods take a context [B, F] as second argument, in a conditional flow: bijections with a
network append it to the network's input, compositions pass it on, others ignore it. In its place
may stand a `Guided` context: `rows_of` and `guided` are for bijections with a network.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.conditions import paired, unpaired


class Bijection(nn.Module, ABC):
    """An invertible map. `__call__` is the forward map, so that `init` works as for any network."""

    def __call__(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Returns `transform_and_log_det(x, context)`."""
        return self.transform_and_log_det(x, *given(context))

    @abstractmethod
    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Maps x [B, *event] to z, with log |det dz/dx| [B]."""

    @abstractmethod
    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Maps z back to x [B, *event], with log |det dx/dz| [B]."""


class Guided(NamedTuple):
    """Contexts of a batch of which each row is there twice, for classifier-free guidance.

    Attributes:
        rows: null contexts `paired` with contexts, [2 B, F].
        weight: the parameters of a map are those without context plus `weight` times the difference
            to those with it (Zhai et al., "Normalizing flows are capable generative models", 2024).
    """

    rows: Array
    weight: Array | float


def rows_of(context: Array | Guided | None) -> Array | None:
    """Returns the context of each row of the batch."""
    return context.rows if isinstance(context, Guided) else context


def guided(params: Array, context: Array | Guided | None) -> Array:
    """Returns the parameters [B, ...] of a map, those of a guided batch mixed."""
    if not isinstance(context, Guided):
        return params
    weak, strong = unpaired(params)
    mixed = weak + context.weight * (strong - weak)
    return paired(mixed, mixed)


def given(context: Array | None) -> tuple[Array, ...]:
    """Returns the context as further arguments: bijections of unconditional flows need not take
    one.
    """
    return () if context is None else (context,)


def sum_event(x: Array) -> Array:
    """Sums x [B, *event] over the event in float32: [B]."""
    return jnp.sum(x.astype(jnp.float32), axis=tuple(range(1, x.ndim)))


def no_change(x: Array) -> Array:
    """Log-determinant of a volume-preserving map: zeros [B]."""
    return jnp.zeros(x.shape[0], jnp.float32)


class Chain(Bijection):
    """Composition of bijections; the identity if empty.

    Attributes:
        layers: the bijections, applied in order.
    """

    layers: tuple[Bijection, ...] = ()

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        total = no_change(x)
        for layer in self.layers:
            x, log_det = layer.transform_and_log_det(x, *given(context))
            total += log_det
        return x, total

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        total = no_change(z)
        for layer in reversed(self.layers):
            z, log_det = layer.inverse_and_log_det(z, *given(context))
            total += log_det
        return z, total


class Inverse(Bijection):
    """Swaps forward and inverse map: makes `Autoregressive` an inverse autoregressive flow.

    Attributes:
        bijection: the bijection to invert.
    """

    bijection: Bijection

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_det(x, *given(context))

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.transform_and_log_det(z, *given(context))


class Repeat(Bijection):
    """Repeats a layer, each copy with its own parameters, stacked as [num, ...].

    The layers run under `nn.scan`, so that the compiled program does not grow with their number.

    Attributes:
        layer: the bijection; it must keep the shape of an example.
        num: number of layers.
        unroll: layers per iteration of the loop; more take longer to compile and can run faster.
    """

    layer: Bijection
    num: int
    unroll: int = 1

    def __post_init__(self):
        if self.num < 1 or self.unroll < 1:
            raise UserError(f'Repeat needs num, unroll >= 1, not {self.num}, {self.unroll}')
        super().__post_init__()

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self._scan('transform_and_log_det', x, context, reverse=False)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self._scan('inverse_and_log_det', z, context, reverse=True)

    def _scan(
        self, method: str, x: Array, context: Array | None, reverse: bool
    ) -> tuple[Array, Array]:
        def body(layer: Bijection, carry: tuple[Array, Array], _: None):
            y, log_det = getattr(layer, method)(carry[0], *given(context))
            return (y, carry[1] + log_det), None

        scan = nn.scan(
            body,
            variable_axes={'params': 0},
            split_rngs={'params': True},
            length=self.num,
            reverse=reverse,
            unroll=min(self.unroll, self.num),
        )
        return scan(self.layer, (x, no_change(x)), None)[0]
