"""The generator of StyleGAN2 (Karras et al., 2020, "Analyzing and improving the image quality of
StyleGAN"): a mapping network computes styles that modulate the convolutions of a synthesis network.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.filters import (
    convolve,
    doubling_convolution,
    halving_convolution,
    upsample_filtered,
)
from genjax.networks.image_levels import check_square, coarsest, widths


class EqualDense(nn.Module):
    """A linear layer with equalised learning rate (Karras et al., 2018): weights are stored at unit
    variance and scaled at runtime.

    Attributes:
        features: number of outputs.
        rate: factor on the learning rate of weights and biases; the initial function is unchanged.
        bias: the initial biases.
        dtype: computation dtype.
    """

    features: int
    rate: float = 1.0
    bias: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [B, D] to [B, features]."""
        shape = (x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.normal(1 / self.rate), shape)
        bias = self.param('bias', nn.initializers.constant(self.bias / self.rate), shape[1:])
        kernel = (kernel * (self.rate / math.sqrt(shape[0]))).astype(self.dtype)
        return x.astype(self.dtype) @ kernel + (bias * self.rate).astype(self.dtype)


class EqualConv(nn.Module):
    """A convolution with equalised learning rate, without biases.

    Attributes:
        features: output channels.
        size: kernel size.
        halve: downsample by 2 through the filter [1, 3, 3, 1]; the size is then 3.
        dtype: computation dtype.
    """

    features: int
    size: int
    halve: bool = False
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [B, H, W, C] to [B, H', W', features]."""
        kernel = equal_kernel(self, (self.size, self.size, x.shape[-1], self.features))
        convolution = halving_convolution if self.halve else convolve
        return convolution(x.astype(self.dtype), kernel.astype(self.dtype))


def equal_kernel(module: nn.Module, shape: tuple[int, ...]) -> Array:
    """Returns the module's parameter 'kernel', stored at unit variance, times 1 / sqrt(fan in)."""
    kernel = module.param('kernel', nn.initializers.normal(1.0), shape)
    return kernel / math.sqrt(math.prod(shape[:-1]))


def scaled_leaky_relu(x: Array) -> Array:
    """Leaky ReLU of slope 0.2 with a gain of sqrt(2), which keeps the variance."""
    return jax.nn.leaky_relu(x, 0.2) * math.sqrt(2)


def pixel_norm(x: Array) -> Array:
    """Scales x [..., C] to a mean square of 1 over the channels, in float32."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-8)


class ModulatedConv(nn.Module):
    """A convolution with its input channels scaled by a style (equations 1 to 3).

    Demodulation divides each output channel by the norm of its scaled weights. Scaling the inputs
    and outputs of a shared convolution is equivalent to one kernel per example.

    Attributes:
        features: output channels.
        size: kernel size.
        upsample: upsample by 2 through the filter [1, 3, 3, 1]; the size is then 3.
        demodulate: divide by the norm.
        dtype: computation dtype; norms are float32.
    """

    features: int
    size: int = 3
    upsample: bool = False
    demodulate: bool = True
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, w: Array) -> Array:
        """Maps x [B, H, W, C] and the style's latent w [B, D] to [B, H', W', features]."""
        style = EqualDense(x.shape[-1], bias=1.0, name='style')(w)
        kernel = equal_kernel(self, (self.size, self.size, x.shape[-1], self.features))
        x = x * style[:, None, None].astype(x.dtype)
        convolution = doubling_convolution if self.upsample else convolve
        x = convolution(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.demodulate:
            norm = jax.lax.rsqrt(style**2 @ jnp.sum(kernel**2, axis=(0, 1)) + 1e-8)
            x = x * norm[:, None, None].astype(x.dtype)
        return x


class _StyledLayer(nn.Module):
    """A modulated convolution, noise, bias and activation."""

    features: int
    upsample: bool = False
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, w: Array, key: Array | None) -> Array:
        x = ModulatedConv(self.features, upsample=self.upsample, dtype=self.dtype)(x, w)
        strength = self.param('noise', nn.initializers.zeros, ())
        if key is not None:
            x = x + (strength * jax.random.normal(key, (*x.shape[:3], 1))).astype(x.dtype)
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        return scaled_leaky_relu(x + bias.astype(x.dtype))


class Mapping(Conditional):
    """Mapping network: codes, with the embedding of a condition appended, to style latents, with a
    reduced learning rate.

    Attributes:
        features: width of the layers and of the latents.
        num_layers: number of layers.
        rate: factor on their learning rate.
    """

    features: int
    num_layers: int
    rate: float = 0.01

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None) -> Array:
        """Maps z [B, D] to w [B, features], float32."""
        w = pixel_norm(z.reshape(z.shape[0], -1))
        if (vector := self.condition_vector(condition)) is not None:
            embedding = EqualDense(self.features, name='label')(vector)
            w = jnp.concatenate([w, pixel_norm(embedding)], axis=-1)
        for _ in range(self.num_layers):
            w = scaled_leaky_relu(EqualDense(self.features, rate=self.rate)(w))
        return w


class Synthesis(nn.Module):
    """Synthesis network: style latents to images, coarse to fine; every level adds to the image.

    Attributes:
        shape: (side, side, channels) of an image.
        features: channels at the finest level; each coarser level has twice as many.
        max_features: maximum number of channels.
        dtype: computation dtype.
    """

    shape: tuple[int, ...]
    features: int
    max_features: int
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, w: Array, key: Array | None = None) -> Array:
        """Maps w [B, 2 levels, D], one latent per layer, to images [B, *shape]; `key` draws the
        noise, None: no noise.
        """
        side, doublings = coarsest(self.shape[0])
        channels = widths(self.features, self.max_features, doublings)[::-1]
        num_layers = 2 * doublings + 2
        keys = [None] * num_layers if key is None else jax.random.split(key, num_layers)
        start = self.param('start', nn.initializers.normal(1.0), (side, side, channels[0]))
        x = jnp.broadcast_to(start, (w.shape[0], *start.shape)).astype(self.dtype)
        picture = jnp.zeros((w.shape[0], side, side, self.shape[-1]), jnp.float32)
        for level, width in enumerate(channels):
            if level > 0:
                x = _StyledLayer(width, True, self.dtype)(x, w[:, 2 * level - 1], keys[2 * level])
                picture = upsample_filtered(picture)
            x = _StyledLayer(width, False, self.dtype)(x, w[:, 2 * level], keys[2 * level + 1])
            to_picture = ModulatedConv(self.shape[-1], 1, demodulate=False, dtype=self.dtype)
            bias = self.param(f'bias_{level}', nn.initializers.zeros, self.shape[-1:])
            picture = picture + to_picture(x, w[:, 2 * level + 1]).astype(jnp.float32) + bias
        return picture


class StyleGANGenerator(Conditional):
    """Codes to square images: `mapping`, then `synthesis`.

    The state collection 'w_average' holds the average latent for truncation; the model updates it
    in training.

    Attributes:
        shape: (side, side, channels) of an image; the side is 4, 5, 6 or 7 times a power of two.
        features: channels at the finest level; each coarser level has twice as many.
        max_features: maximum number of channels.
        latent_features: width of the mapping network and of the latents.
        mapping_layers: depth of the mapping network.
        dtype: computation dtype of the synthesis; parameters, mapping and images are float32.
    """

    shape: tuple[int, ...]
    features: int = 64
    max_features: int = 512
    latent_features: int = 512
    mapping_layers: int = 8
    dtype: str = 'float32'

    @property
    def num_latents(self) -> int:
        """Number of latents per image, two per level: one for the level's last convolution, and one
        for its output image, shared with the next level's first convolution.
        """
        return 2 * coarsest(self.shape[0])[1] + 2

    def setup(self):
        """Raises a UserError if `shape` is not that of a square image of such a side."""
        check_square('StyleGANGenerator', self.shape)
        self.mapping = Mapping(
            self.latent_features, self.mapping_layers, num_classes=self.num_classes,
            context_shape=self.context_shape,
        )  # fmt: skip
        self.synthesis = Synthesis(self.shape, self.features, self.max_features, self.dtype)
        self.average = self.variable('w_average', 'w', jnp.zeros, (self.latent_features,))

    def __call__(self, z: Array, condition: Array | None = None, key: Array | None = None) -> Array:
        """Maps z [B, D] to images [B, *shape], float32; `key` draws the noise, None: no noise."""
        return self.synthesise(self.mapping(z, condition), key)

    def to_latent(self, z: Array, condition: Array | None = None, truncation: float = 1.0) -> Array:
        """Maps z [B, D] to latents w [B, latent_features]; `truncation` scales their distance from
        the average latent (Karras et al., 2019, appendix B).
        """
        average = self.average.value
        return average + truncation * (self.mapping(z, condition) - average)

    def synthesise(self, w: Array, key: Array | None = None) -> Array:
        """Maps w [B, latent_features], or [B, num_latents, latent_features] with one per layer, to
        images [B, *shape].
        """
        if w.ndim == 2:
            w = jnp.broadcast_to(w[:, None], (w.shape[0], self.num_latents, w.shape[-1]))
        return self.synthesis(w, key)
