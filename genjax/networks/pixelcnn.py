"""Autoregressive convolutional networks, in raster order of the pixels."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.conditional import Conditional
from genjax.networks.layers import Dropout


def shift_down(x: Array) -> Array:
    """Shifts [B, H, W, C] down by one row, filling with 0."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def shift_right(x: Array) -> Array:
    """Shifts [B, H, W, C] right by one column, filling with 0."""
    return jnp.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]


class DownConv(nn.Module):
    """A convolution over the current row and those above, with columns on both sides.

    Attributes:
        features: channels of the output.
        kernel: (rows, columns), columns odd.
        stride: in both dimensions.
        dtype: computation dtype.
    """

    features: int
    kernel: tuple[int, int] = (2, 3)
    stride: int = 1
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [B, H, W, C] to [B, H / stride, W / stride, features]."""
        side = self.kernel[1] // 2
        padding = ((self.kernel[0] - 1, 0), (side, side))
        return nn.Conv(
            self.features, self.kernel, strides=self.stride, padding=padding, dtype=self.dtype
        )(x)


class DownRightConv(nn.Module):
    """A convolution over the current pixel, pixels to its left, and the same columns above.

    Attributes:
        features: channels of the output.
        kernel: (rows, columns).
        stride: in both dimensions.
        dtype: computation dtype.
    """

    features: int
    kernel: tuple[int, int] = (2, 2)
    stride: int = 1
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [B, H, W, C] to [B, H / stride, W / stride, features]."""
        padding = tuple((size - 1, 0) for size in self.kernel)
        return nn.Conv(
            self.features, self.kernel, strides=self.stride, padding=padding, dtype=self.dtype
        )(x)


def _with_ones(x: Array) -> Array:
    """Appends a channel of ones, which distinguishes padding from zeros in the data."""
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)


def _gate(x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


class _AddCondition(nn.Module):
    """Adds a linear map of a condition vector [B, F] to all pixels of [B, H, W, C], or that of
    features [B, H, W, F] at each pixel.
    """

    dtype: str

    @nn.compact
    def __call__(self, x: Array, condition: Array | None) -> Array:
        if condition is None:
            return x
        layer = nn.Dense(x.shape[-1], use_bias=False, dtype=self.dtype, name='condition')
        added = layer(condition)
        return x + (added[:, None, None] if condition.ndim == 2 else added)


class GatedPixelCNN(Conditional):
    """A vertical stack (all rows above) and a horizontal one (this row), with gated units (van den
    Oord et al., "Conditional image generation with PixelCNN decoders", 2016). A linear map of the
    condition is added to both inputs of each gate (their equation 4): the same for all pixels, or
    of a context [H, W, C], whose sides are those of the image, at each pixel that of its features
    there (equation 5), by residual convolutions.

    Attributes:
        shape: (height, width, outputs of a pixel).
        features: channels.
        num_layers: number of gated layers; each extends the receptive field by `kernel_size // 2`
            rows.
        kernel_size: odd; the first layer's kernel is larger by 4.
        context_layers: 3 x 3 convolutions of a context [H, W, C]; each extends what a pixel sees of
            it by one pixel in all directions.
        dropout: dropout rate before each gated layer.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 64
    num_layers: int = 7
    kernel_size: int = 3
    context_layers: int = 5
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps [B, H, W, C] to [B, *shape], float32; outputs do not see their own pixel. Raises a
        UserError if the condition is missing, or a context [H, W, C] is not of the image's size.
        """
        if self.kernel_size % 2 == 0:
            raise UserError(f'GatedPixelCNN.kernel_size must be odd, not {self.kernel_size}')
        drop = Dropout(self.dropout, deterministic=not train)
        rows = self.kernel_size // 2 + 1
        added = self._added(condition, x.shape[1:3])
        x = _with_ones(x.astype(self.dtype))

        def vertical(width: int, size: int) -> DownConv:
            return DownConv(width, (size // 2 + 1, size), dtype=self.dtype)

        def horizontal(width: int, columns: int) -> DownRightConv:
            return DownRightConv(width, (1, columns), dtype=self.dtype)

        def mix(width: int) -> nn.Conv:
            return nn.Conv(width, (1, 1), dtype=self.dtype)

        size = self.kernel_size + 4
        v = vertical(self.features, size)(shift_down(x))
        h = horizontal(self.features, size // 2)(shift_right(x)) + mix(self.features)(v)
        skips = jnp.zeros(h.shape, self.dtype)
        for _ in range(self.num_layers):
            v_in = vertical(2 * self.features, self.kernel_size)(drop(v))
            h_in = horizontal(2 * self.features, rows)(drop(h)) + mix(2 * self.features)(v_in)
            v = _gate(_AddCondition(self.dtype)(v_in, added))
            gated = _gate(_AddCondition(self.dtype)(h_in, added))
            h = h + mix(self.features)(gated)
            skips = skips + mix(self.features)(gated)
        h = jax.nn.relu(mix(self.features)(jax.nn.relu(skips)))
        self.sow('intermediates', 'features', h)
        return nn.Conv(self.shape[-1], (1, 1), dtype='float32', name='out')(h.astype(jnp.float32))

    def _added(self, condition: Array | None, sides: tuple[int, ...]) -> Array | None:
        """The condition as a vector [B, F], or as features of a context of the image's size
        [B, H, W, features]; None for a network without one.
        """
        if len(self.context_shape or ()) != 3:
            return self.condition_vector(condition, null=True)
        s = _with_ones(self.condition_parts(condition, sides).channels.astype(self.dtype))
        for layer in range(self.context_layers):
            name = f'context_{layer}'
            new = nn.Conv(self.features, (3, 3), dtype=self.dtype, name=name)(s)
            s = jax.nn.relu(new if layer == 0 else s + new)
        return s


class _GatedResnet(nn.Module):
    """Gated residual block of two convolutions with concatenated ELU (Salimans et al., 2017)."""

    convolution: Callable[..., nn.Module]
    features: int
    dropout: float
    dtype: str

    @nn.compact
    def __call__(
        self,
        x: Array,
        extra: Array | None = None,
        condition: Array | None = None,
        train: bool = False,
    ) -> Array:
        h = self.convolution(self.features, dtype=self.dtype)(_concat_elu(x))
        if extra is not None:
            h = h + nn.Conv(self.features, (1, 1), dtype=self.dtype)(_concat_elu(extra))
        h = Dropout(self.dropout, deterministic=not train)(_concat_elu(h))
        h = self.convolution(2 * self.features, dtype=self.dtype)(h)
        a, b = jnp.split(_AddCondition(self.dtype)(h, condition), 2, axis=-1)
        return x + a * jax.nn.sigmoid(b)


def _concat_elu(x: Array) -> Array:
    return jax.nn.elu(jnp.concatenate([x, -x], axis=-1))


class PixelCNNPlusPlus(Conditional):
    """The network of PixelCNN++ (Salimans et al., 2017): a U-Net with two streams, one over the
    rows above and one that adds the pixels to the left, and skip connections at each resolution. A
    linear map of the condition is added before the gate of each block.

    Upsampling is repetition and a convolution instead of the paper's transposed convolution.

    Attributes:
        shape: (height, width, outputs of a pixel).
        features: channels.
        num_blocks: residual blocks per resolution, on each side.
        levels: number of resolutions; the sides must be divisible by 2^(levels - 1).
        dropout: dropout rate in each block.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 64
    num_blocks: int = 2
    levels: int = 3
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps [B, H, W, C] to [B, *shape], float32; outputs do not see their own pixel. Raises a
        UserError if the condition is missing.
        """
        if any(side % 2 ** (self.levels - 1) for side in self.shape[:2]):
            raise UserError(
                f'PixelCNNPlusPlus with levels={self.levels} halves the sides of {self.shape[:2]} '
                f'{self.levels - 1} times: they must be divisible'
            )
        features, dtype = self.features, self.dtype
        vector = self.condition_vector(condition, null=True)

        def block(convolution: type[nn.Module]) -> Callable[..., Array]:
            module = _GatedResnet(convolution, features, self.dropout, dtype)
            return functools.partial(module, condition=vector, train=train)

        x = _with_ones(x.astype(dtype))
        # u depends on the rows above, ul also on the pixels to the left.
        u = shift_down(DownConv(features, dtype=dtype)(x))
        ul = shift_down(DownConv(features, (1, 3), dtype=dtype)(x))
        ul = ul + shift_right(DownRightConv(features, (2, 1), dtype=dtype)(x))
        kept = [(u, ul)]
        for level in range(self.levels):
            if level:
                u = DownConv(features, stride=2, dtype=dtype)(u)
                ul = DownRightConv(features, stride=2, dtype=dtype)(ul)
                kept.append((u, ul))
            for _ in range(self.num_blocks):
                u = block(DownConv)(u)
                ul = block(DownRightConv)(ul, u)
                kept.append((u, ul))
        u, ul = kept.pop()
        for level in reversed(range(self.levels)):
            for _ in range(self.num_blocks + (level < self.levels - 1)):
                u_kept, ul_kept = kept.pop()
                u = block(DownConv)(u, u_kept)
                ul = block(DownRightConv)(ul, jnp.concatenate([u, ul_kept], axis=-1))
            if level:
                u = DownConv(features, dtype=dtype)(_double(u))
                ul = DownRightConv(features, dtype=dtype)(_double(ul))
        self.sow('intermediates', 'features', ul)
        out = nn.Conv(self.shape[-1], (1, 1), dtype='float32', name='out')
        return out(jax.nn.elu(ul).astype(jnp.float32))


def _double(x: Array) -> Array:
    """Doubles both sides of [B, H, W, C] by repetition."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
