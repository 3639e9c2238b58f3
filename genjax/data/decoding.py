"""Decodes stored examples to arrays; refuses lossy conversions."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from genjax.errors import UserError

_MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}  # number of channels to Pillow's mode


def decode(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the pixels uint8 [height, width, channels] of an encoded image.

    Raises:
        ValueError: converting it to this shape and 8 bits would lose content.
    """
    height, width, channels = shape
    with Image.open(io.BytesIO(data)) as image:
        if image.size != (width, height):
            there = f'{image.height} pixels high and {image.width} wide'
            raise ValueError(f'the image is {there}, not {height} and {width} as declared')
        if image.mode.startswith(('I', 'F')):
            raise ValueError(
                f'the image has more than 8 bits a pixel (mode {image.mode}); store it as uint8, '
                'or as a Tensor feature'
            )
        if channels != 4 and image.has_transparency_data and _least_alpha(image) < 255:
            raise ValueError(
                f'the image has transparent pixels, and {channels} channels are declared; '
                'declare 4, or store it without'
            )
        mode = _MODES[channels]
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels.reshape(shape)


def _least_alpha(image: Image.Image) -> int:
    return image.convert('RGBA').getextrema()[3][0]


def check_finite(x: np.ndarray, indices: Sequence[int], where: str) -> None:
    """Raises UserError if x [n, *event] has a non-finite number; `indices` are the examples'
    positions.
    """
    if x.dtype.kind != 'f' or np.isfinite(np.sum(x, dtype=np.float64)):
        return
    for row in np.flatnonzero(~np.isfinite(x).all(axis=tuple(range(1, x.ndim)))):
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(x[row]))[0])
        raise UserError(
            f'x of example {indices[row]} of {where} is not finite: {x[row][place]} at {place}; '
            'fill in or leave out what is missing'
        )


def as_int32(value: np.ndarray) -> np.ndarray:
    """Casts integers to int32; raises ValueError if they do not fit."""
    value = np.asarray(value)
    converted = value.astype(np.int32)
    if np.any(converted != value):
        raise ValueError(f'{value[converted != value].flat[0]} is not an int32')
    return converted


def spread(x: np.ndarray, levels: int) -> np.ndarray:
    """Maps the values 0..levels-1 evenly onto 0..255, rounded."""
    if x.max(initial=0) >= levels:
        raise UserError(f'levels={levels}, but a pixel has the value {x.max()}')
    table = np.round(np.arange(levels) * (255 / (levels - 1))).astype(np.uint8)
    return table[x]
