"""The contract of an invertible map, and maps made of other maps.

A bijection is a Linen module with two methods that undo each other and say how they change volume:

    z, log_det = bijection.transform_and_log_det(x)     # log |det dz/dx|, float32 [B], in nats
    x, log_det = bijection.inverse_and_log_det(z)       # log |det dx/dz|, the same with a minus

`x` is [B, *event]. An example's result does not depend on the other examples. In a flow `x` are
data and `z` is noise, but a bijection knows nothing of this.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError


class Bijection(nn.Module):
    """An invertible map; calling it transforms, so that `init` works as for any network."""

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Returns `transform_and_log_det(x)`."""
        return self.transform_and_log_det(x)

    def transform_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Maps x [B, *event] to z, with log |det dz/dx| [B]."""
        raise NotImplementedError

    def inverse_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """Maps z back to x [B, *event], with log |det dx/dz| [B]."""
        raise NotImplementedError


def sum_event(x: Array) -> Array:
    """Sums x [B, *event] over the event in float32: [B]."""
    return jnp.sum(x.astype(jnp.float32), axis=tuple(range(1, x.ndim)))


def no_change(x: Array) -> Array:
    """The log-determinant of a map that keeps volumes: zeros [B]."""
    return jnp.zeros(x.shape[0], jnp.float32)


class Chain(Bijection):
    """One map after another; without any it is the identity.

    Attributes:
        layers: the maps, the first one first.
    """

    layers: tuple[Bijection, ...] = ()

    def transform_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Applies the layers in order."""
        total = no_change(x)
        for layer in self.layers:
            x, log_det = layer.transform_and_log_det(x)
            total += log_det
        return x, total

    def inverse_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """Undoes the layers, the last one first."""
        total = no_change(z)
        for layer in reversed(self.layers):
            z, log_det = layer.inverse_and_log_det(z)
            total += log_det
        return z, total


class Inverse(Bijection):
    """A map the other way round: of `Autoregressive` it makes the inverse autoregressive flow.

    Attributes:
        bijection: the map.
    """

    bijection: Bijection

    def transform_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Inverts the map."""
        return self.bijection.inverse_and_log_det(x)

    def inverse_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """Applies the map."""
        return self.bijection.transform_and_log_det(z)


class Repeat(Bijection):
    """Many layers of the same kind, each with its own parameters, which lie stacked [num, ...].

    The layers run in a loop, so that the compiled program does not grow with their number.

    Attributes:
        layer: the map that is repeated; it must keep the shape of an example.
        num: how many times.
        unroll: layers in one turn of the loop; more compile longer and can run faster.
    """

    layer: Bijection
    num: int
    unroll: int = 1

    def __post_init__(self):
        if self.num < 1 or self.unroll < 1:
            raise UserError(f'Repeat needs num, unroll >= 1, not {self.num}, {self.unroll}')
        super().__post_init__()

    def transform_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Applies the layers in order."""
        return self._scan('transform_and_log_det', x, reverse=False)

    def inverse_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """Undoes the layers, the last one first."""
        return self._scan('inverse_and_log_det', z, reverse=True)

    def _scan(self, method: str, x: Array, reverse: bool) -> tuple[Array, Array]:
        def body(layer: Bijection, carry: tuple[Array, Array], _: None):
            y, log_det = getattr(layer, method)(carry[0])
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
