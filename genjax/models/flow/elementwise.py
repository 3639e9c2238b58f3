"""Monotone elementwise maps with parameters computed by a network.

Each is a frozen dataclass with `width`, the number of parameters per element, and two methods that
take `params` [..., width] and elements [...] and return the mapped elements and the log-slope, both
[...] in float32. All-zero parameters give the identity.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError


class Elementwise(Protocol):
    """Interface of the elementwise maps of `Coupling` and `Autoregressive`."""

    @property
    def width(self) -> int:
        """Number of parameters per element."""

    def forward(self, params: Array, x: Array) -> tuple[Array, Array]:
        """Returns y and log dy/dx."""

    def inverse(self, params: Array, y: Array) -> tuple[Array, Array]:
        """Returns x and log dx/dy."""


@dataclass(frozen=True)
class Shift:
    """y = x + t, volume-preserving: NICE (Dinh et al., 2015)."""

    width: ClassVar[int] = 1

    def forward(self, params: Array, x: Array) -> tuple[Array, Array]:
        """Returns y and zeros."""
        return x + params[..., 0], jnp.zeros_like(x)

    def inverse(self, params: Array, y: Array) -> tuple[Array, Array]:
        """Returns x and zeros."""
        return y - params[..., 0], jnp.zeros_like(y)


@dataclass(frozen=True)
class Affine:
    """y = x exp(s) + t: RealNVP (Dinh et al., 2017), MAF (Papamakarios et al., 2017).

    Attributes:
        bound: soft limit of |s|, against exploding layers.
    """

    bound: float = 3.0

    width: ClassVar[int] = 2

    def __post_init__(self):
        if isinstance(self.bound, int | float) and self.bound <= 0:
            raise UserError(f'Affine.bound must be positive, not {self.bound}')

    def _log_scale(self, params: Array) -> Array:
        return self.bound * jnp.tanh(params[..., 0] / self.bound)

    def forward(self, params: Array, x: Array) -> tuple[Array, Array]:
        """Returns y and s."""
        log_scale = self._log_scale(params)
        return x * jnp.exp(log_scale) + params[..., 1], log_scale

    def inverse(self, params: Array, y: Array) -> tuple[Array, Array]:
        """Returns x and -s."""
        log_scale = self._log_scale(params)
        return (y - params[..., 1]) * jnp.exp(-log_scale), -log_scale
