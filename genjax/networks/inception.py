"""The Inception network of the Fréchet inception distance."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

_SIDE = 299


class InceptionV3(nn.Module):
    """Inception-v3 (Szegedy et al., 2016) as in the graph `inception-2015-12-05` of TensorFlow,
    with which the Fréchet inception distance (Heusel et al., 2017) is defined, up to its layer
    pool3.

    It differs from the network of the paper: average pooling does not count padding, and the last
    block pools by maxima. Modules are named as in the PyTorch conversions of the graph's weights.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps images [B, H, W, 3] of 0..255, in float or uint8, to features [B, 2048]."""
        x = (resize_as_tensorflow_1(x.astype(jnp.float32), _SIDE, _SIDE) - 128) / 128
        x = _conv('Conv2d_1a_3x3', x, 32, 3, strides=2)
        x = _conv('Conv2d_2a_3x3', x, 32, 3)
        x = _conv('Conv2d_2b_3x3', x, 64, 3, padding='SAME')
        x = nn.max_pool(x, (3, 3), (2, 2))
        x = _conv('Conv2d_3b_1x1', x, 80, 1)
        x = _conv('Conv2d_4a_3x3', x, 192, 3)
        x = nn.max_pool(x, (3, 3), (2, 2))
        for name, pooled in (('Mixed_5b', 32), ('Mixed_5c', 64), ('Mixed_5d', 64)):
            x = _block_a(name, x, pooled)
        x = _block_b('Mixed_6a', x)
        widths = {'Mixed_6b': 128, 'Mixed_6c': 160, 'Mixed_6d': 160, 'Mixed_6e': 192}
        for name, width in widths.items():
            x = _block_c(name, x, width)
        x = _block_d('Mixed_7a', x)
        x = _block_e('Mixed_7b', x, _mean_pool(x))
        x = _block_e('Mixed_7c', x, nn.max_pool(x, (3, 3), (1, 1), 'SAME'))
        return jnp.mean(x, axis=(1, 2))


def resize_as_tensorflow_1(x: Array, height: int, width: int) -> Array:
    """Resizes images [B, H, W, C] like `tf.image.resize_bilinear` of TensorFlow 1 by default: pixel
    `i` is interpolated at `i · old / new`, without half a pixel of offset and without smoothing.
    """
    for axis, size in ((2, width), (1, height)):
        length = x.shape[axis]
        place = np.arange(size, dtype=np.float32) * np.float32(length / size)
        low = place.astype(int)
        shape = [-1 if i == axis else 1 for i in range(4)]
        share = (place - low.astype(np.float32)).reshape(shape)
        below = jnp.take(x, low, axis)
        x = below + (jnp.take(x, np.minimum(low + 1, length - 1), axis) - below) * share
    return x


def _conv(
    name: str,
    x: Array,
    features: int,
    kernel: int | tuple[int, int],
    strides: int = 1,
    padding: str = 'VALID',
) -> Array:
    """A convolution, normalised by stored statistics, and a rectifier."""
    size = (kernel, kernel) if isinstance(kernel, int) else kernel
    x = nn.Conv(features, size, strides, padding, use_bias=False, name=f'{name}.conv')(x)
    x = nn.BatchNorm(use_running_average=True, epsilon=1e-3, name=f'{name}.bn')(x)
    return nn.relu(x)


def _mean_pool(x: Array) -> Array:
    return nn.avg_pool(x, (3, 3), (1, 1), 'SAME', count_include_pad=False)


def _chain(name: str, x: Array, *layers: tuple[int, int | tuple[int, int]], last: int = 1) -> Array:
    """Convolutions (features, kernel) that keep the size, numbered from 1; but for the last one if
    its stride `last` is 2.
    """
    for number, (features, kernel) in enumerate(layers, start=1):
        strided = last if number == len(layers) else 1
        padding = 'VALID' if strided > 1 else 'SAME'
        x = _conv(f'{name}_{number}', x, features, kernel, strided, padding)
    return x


def _block_a(name: str, x: Array, pooled: int) -> Array:
    branches = [
        _conv(f'{name}.branch1x1', x, 64, 1),
        _chain(f'{name}.branch5x5', x, (48, 1), (64, 5)),
        _chain(f'{name}.branch3x3dbl', x, (64, 1), (96, 3), (96, 3)),
        _conv(f'{name}.branch_pool', _mean_pool(x), pooled, 1),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_b(name: str, x: Array) -> Array:
    branches = [
        _conv(f'{name}.branch3x3', x, 384, 3, strides=2),
        _chain(f'{name}.branch3x3dbl', x, (64, 1), (96, 3), (96, 3), last=2),
        nn.max_pool(x, (3, 3), (2, 2)),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_c(name: str, x: Array, width: int) -> Array:
    row, column = (1, 7), (7, 1)
    double = ((width, 1), (width, column), (width, row), (width, column), (192, row))
    branches = [
        _conv(f'{name}.branch1x1', x, 192, 1),
        _chain(f'{name}.branch7x7', x, (width, 1), (width, row), (192, column)),
        _chain(f'{name}.branch7x7dbl', x, *double),
        _conv(f'{name}.branch_pool', _mean_pool(x), 192, 1),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_d(name: str, x: Array) -> Array:
    branches = [
        _chain(f'{name}.branch3x3', x, (192, 1), (320, 3), last=2),
        _chain(f'{name}.branch7x7x3', x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), last=2),
        nn.max_pool(x, (3, 3), (2, 2)),
    ]
    return jnp.concatenate(branches, axis=-1)


def _block_e(name: str, x: Array, pooled: Array) -> Array:
    def fork(branch: str, x: Array) -> list[Array]:
        return [
            _conv(f'{name}.{branch}a', x, 384, (1, 3), padding='SAME'),
            _conv(f'{name}.{branch}b', x, 384, (3, 1), padding='SAME'),
        ]

    branches = [
        _conv(f'{name}.branch1x1', x, 320, 1),
        *fork('branch3x3_2', _chain(f'{name}.branch3x3', x, (384, 1))),
        *fork('branch3x3dbl_3', _chain(f'{name}.branch3x3dbl', x, (448, 1), (384, 3))),
        _conv(f'{name}.branch_pool', pooled, 192, 1),
    ]
    return jnp.concatenate(branches, axis=-1)
