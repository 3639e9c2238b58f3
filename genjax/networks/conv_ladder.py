"""The stochastic ladder of maps of a deep hierarchical VAE."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.ladder import Levels, normal_and_rest
from genjax.networks.layers import activation_function


class ConvLadder(Levels):
    """A ladder of square maps: the bottleneck blocks, average pooling and nearest-neighbour
    upsampling of VDVAE (Child, 2021).

    Its features are maps with the side of the bottom level. The last layers of priors and
    posteriors are zero-initialised, and those of the blocks of the stream divided by the square
    root of the number of levels.

    Attributes:
        sides: side of the map of each level, the top one first: each divides the next, or equals
            it.
        channels: of the code of each level.
        width: channels of the residual stream.
        bottleneck: channels inside a block.
        activation: a name in `jax.nn` or a function.
    """

    sides: tuple[int, ...] = (1, 2, 4, 4, 8, 8)
    channels: int = 4
    width: int = 64
    bottleneck: int = 16
    activation: str | Callable = 'gelu'

    def __post_init__(self):
        pairs = zip(self.sides, self.sides[1:], strict=False)
        if not self.sides or any(below % above for above, below in pairs):
            raise UserError(f'ConvLadder.sides={self.sides}: each must divide the next')
        super().__post_init__()

    @property
    def code_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((side, side, self.channels) for side in self.sides)

    @property
    def stream(self) -> tuple[int, ...]:
        return (self.sides[-1], self.sides[-1], self.width)

    def setup(self):
        side, code = self.sides[0], 2 * self.channels
        self.top = self.param('top', nn.initializers.zeros, (side, side, self.width))
        zeros = nn.initializers.zeros
        scale = nn.initializers.variance_scaling(1 / len(self.sides), 'fan_in', 'truncated_normal')

        def blocks(kind: str, outputs: int, init: Callable) -> list[_Bottleneck]:
            return [
                _Bottleneck(
                    outputs, self.bottleneck, side, self.activation, init, name=f'level_{i}_{kind}'
                )
                for i, side in enumerate(self.sides)
            ]

        self.ups_blocks = blocks('up', self.width, scale)
        self.prior_blocks = blocks('prior', code + self.width, zeros)
        self.posterior_blocks = blocks('posterior', code, zeros)
        self.down_blocks = blocks('down', self.width, scale)
        self.entries = [
            nn.Dense(self.width, kernel_init=scale, name=f'level_{i}_entry')
            for i in range(len(self.sides))
        ]
        self.up_input = nn.Conv(self.width, (3, 3))

    @property
    def priors(self) -> list[Callable]:
        return [_normal(block, self.channels) for block in self.prior_blocks]

    @property
    def posteriors(self) -> list[Callable]:
        return [_normal(block, self.channels) for block in self.posterior_blocks]

    @property
    def downs(self) -> list[Callable]:
        return [_residual(block) for block in self.down_blocks]

    def _start(self, size: int) -> Array:
        return jnp.broadcast_to(self.top, (size, *self.top.shape))

    def _ups(self, features: Array) -> list[Array]:
        side = self.sides[-1]
        if features.shape[1:3] != (side, side):
            raise UserError(
                f'ConvLadder.sides={self.sides}: the features are {features.shape[1:]}, not maps of'
                f' {side}x{side}'
            )
        ups = [self.up_input(features)]
        for level in reversed(range(len(self.sides))):
            up = _pooled(ups[-1], self.sides[level])
            ups.append(up + self.ups_blocks[level](up))
        return ups[:0:-1]

    def _at(self, level: int, hidden: Array) -> Array:
        factor = self.sides[level] // hidden.shape[1]
        return jnp.repeat(jnp.repeat(hidden, factor, axis=1), factor, axis=2)


class _Bottleneck(nn.Module):
    """Four convolutions, of 1x1, 3x3, 3x3 and 1x1 pixels; of 1x1 on maps of side 1 and 2."""

    outputs: int
    width: int
    side: int
    activation: str | Callable
    last_init: Callable

    @nn.compact
    def __call__(self, x: Array) -> Array:
        act = activation_function(self.activation)
        kernel = (3, 3) if self.side > 2 else (1, 1)
        for size in ((1, 1), kernel, kernel):
            x = nn.Conv(self.width, size)(act(x))
        return nn.Conv(self.outputs, (1, 1), kernel_init=self.last_init, name='out')(act(x))


def _normal(block: _Bottleneck, channels: int) -> Callable[[Array], tuple[Array, Array, Array]]:
    return lambda x: normal_and_rest(block(x), channels)


def _residual(block: _Bottleneck) -> Callable[[Array], Array]:
    return lambda x: x + block(x)


def _pooled(x: Array, side: int) -> Array:
    """Averages maps [B, H, H, C] over squares, to [B, side, side, C]."""
    batch, size, _, channels = x.shape
    factor = size // side
    return jnp.mean(x.reshape(batch, side, factor, side, factor, channels), axis=(2, 4))
