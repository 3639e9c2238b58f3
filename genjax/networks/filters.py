"""Upsampling and downsampling with the low-pass filter [1, 3, 3, 1] of StyleGAN2.

The filter is that of bilinear interpolation (Karras et al., 2020, "Analyzing and improving the
image quality of StyleGAN"); images are padded with zeros.
"""

import jax
import jax.numpy as jnp
from jax import Array


def upsample_filtered(x: Array) -> Array:
    """Upsamples x [B, H, W, C] by 2: inserts zeros, then filters with a gain of 4."""
    return _upsample(_upsample(x, 1), 2)


def downsample_filtered(x: Array) -> Array:
    """Downsamples x [B, H, W, C] of even sides by 2: filters, then takes every other pixel."""
    return _downsample(_downsample(x, 1), 2)


def doubling_convolution(x: Array, kernel: Array) -> Array:
    """Applies a transposed convolution, 3x3 with stride 2, then the filter with a gain of 4.

    Away from the border this equals `upsample_filtered`, then the convolution. Computed as one 3x3
    convolution of x with four outputs per pixel, with the filter folded into its kernel.

    Args:
        x: [B, H, W, C].
        kernel: [3, 3, C, features], in the convention of a convolution of the upsampled image.

    Returns:
        [B, 2 H, 2 W, features].
    """
    batch, height, width, channels = x.shape
    # Even pixels of the result read the odd taps.
    taps = _filtered(kernel, 4.0)[:, ::-1, :, ::-1]
    taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(3, 3, channels, -1)
    x = convolve(x, taps).reshape(batch, height, width, 2, 2, -1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, -1)


def halving_convolution(x: Array, kernel: Array) -> Array:
    """Applies the filter, then a convolution, 3x3 with stride 2.

    Computed as one 3x3 convolution of blocks of 2x2 pixels, with the filter folded into its kernel.

    Args:
        x: [B, H, W, C] of even sides.
        kernel: [3, 3, C, features].

    Returns:
        [B, H / 2, W / 2, features].
    """
    batch, height, width, channels = x.shape
    taps = _filtered(kernel, 1.0).transpose(0, 2, 1, 3, 4, 5).reshape(3, 3, 4 * channels, -1)
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return convolve(x.reshape(batch, height // 2, width // 2, 4 * channels), taps)


def _filtered(kernel: Array, gain: float) -> Array:
    """Convolves the kernel [3, 3, C, features] with the filter: [3, 2, 3, 2, C, features]."""
    flat = kernel.reshape(1, 3, 3, -1)
    for axis in (1, 2):
        flat = _pad(flat, axis, 3, 3)
        a, b, c, d = (_slice(flat, axis, start, start + 6) for start in range(4))
        flat = (a + d) * (gain**0.5 / 8) + (b + c) * (gain**0.5 * 3 / 8)
    return flat.reshape(3, 2, 3, 2, *kernel.shape[2:])


def convolve(x: Array, kernel: Array) -> Array:
    """Convolves x [B, H, W, C] with a kernel [k, k, C, features], keeping the size."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


def _upsample(x: Array, axis: int) -> Array:
    """Upsamples one axis: the two outputs of a pixel lie a quarter of a pixel left and right."""
    size = x.shape[axis]
    padded = _pad(x, axis, 1, 1)
    left, right = _slice(padded, axis, 0, size), _slice(padded, axis, 2, size + 2)
    pair = jnp.stack([0.25 * left + 0.75 * x, 0.75 * x + 0.25 * right], axis=axis + 1)
    return pair.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def _downsample(x: Array, axis: int) -> Array:
    size = x.shape[axis]
    x = _pad(x, axis, 1, 1)
    a, b, c, d = (_slice(x, axis, start, start + size - 1, 2) for start in range(4))
    return (a + d) * (1 / 8) + (b + c) * (3 / 8)


def _pad(x: Array, axis: int, before: int, after: int) -> Array:
    return jnp.pad(x, [(before, after) if a == axis else (0, 0) for a in range(x.ndim)])


def _slice(x: Array, axis: int, start: int, stop: int, step: int = 1) -> Array:
    return x[(slice(None),) * axis + (slice(start, stop, step),)]
