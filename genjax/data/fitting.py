"""Decodes images of any size and kind to pixels of one shape."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

_MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}
_ORIENTATION = 0x0112  # the tag of EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GAP = 2  # how many times the size wanted an image is decoded at, at least, before it is resized


@dataclass(frozen=True)
class Fit:
    """Crops and resizes images to one shape.

    Images are turned upright (EXIF), 16 bits are rounded to 8, and transparent ones are put on
    white unless they keep their alpha channel. Resizing is bicubic, with antialiasing.

    Attributes:
        height: rows.
        width: columns.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        crop: `'center'`: cuts off what the aspect ratio has too much, evenly on both sides;
            `'stretch'`: scales the sides by different factors; `'none'`: refuses other sizes.
    """

    height: int
    width: int
    channels: int = 3
    crop: str = 'center'

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a decoded image."""
        return self.height, self.width, self.channels

    def __call__(self, data: bytes) -> np.ndarray:
        """Returns the pixels uint8 [height, width, channels] of an encoded image.

        Raises:
            ValueError: it is not a whole image, or has floating-point pixels.
        """
        try:
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(self._fitted(image)).reshape(self.shape)
        except UnidentifiedImageError:
            raise ValueError('it is empty' if not data else 'it is no image') from None
        except ValueError:
            raise
        except Exception as error:  # Pillow raises various types for a damaged file
            raise ValueError(str(error) or type(error).__name__) from None

    def _fitted(self, image: Image.Image) -> Image.Image:
        orientation = image.getexif().get(_ORIENTATION, 1)
        turned = orientation >= 5  # by a quarter: the sides are exchanged
        wanted = (self.height, self.width) if turned else (self.width, self.height)
        if self.crop == 'none' and image.size != wanted:
            height, width = image.size if turned else image.size[::-1]
            raise ValueError(
                f'it is {height} x {width}, not {self.height} x {self.width}; give a size for all'
            )
        scale = max(new / old for new, old in zip(wanted, image.size, strict=True))
        # A JPEG is decoded at an eighth, a quarter or half of its size, where that is enough.
        image.draft(None, tuple(round(_GAP * scale * side) for side in image.size))
        mode = _MODES[self.channels]
        image = self._plain(image, mode)
        box = None
        if self.crop == 'center':
            scale = max(new / old for new, old in zip(wanted, image.size, strict=True))
            kept = [min(new / scale, old) for new, old in zip(wanted, image.size, strict=True)]
            left, top = ((old - new) / 2 for old, new in zip(image.size, kept, strict=True))
            box = (left, top, left + kept[0], top + kept[1])
        if image.size != wanted:
            image = image.resize(wanted, Image.Resampling.BICUBIC, box, reducing_gap=_GAP)
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        return image if image.mode == mode else image.convert(mode)

    def _plain(self, image: Image.Image, mode: str) -> Image.Image:
        """Returns the image in a mode of 8 bits that can be resized."""
        if image.mode == 'F':
            raise ValueError('it has floating-point pixels; store it as an array')
        if image.mode.startswith('I'):
            wide = np.asarray(image)
            if wide.min() < 0 or wide.max() > 65535:
                raise ValueError('it has pixels of more than 16 bits; store it as an array')
            image = Image.fromarray(np.round(wide / 257).astype(np.uint8))
        if image.has_transparency_data and mode != 'RGBA':
            image = image.convert('RGBA')
            white = Image.new('RGBA', image.size, 'white')
            return Image.alpha_composite(white, image).convert('RGB')
        return image if image.mode in ('L', 'RGB', 'RGBA') else image.convert(mode)


def size_of(data: bytes) -> tuple[int, int, int]:
    """Returns (height, width, channels) of an encoded image as it is stored, upright; raises
    ValueError if it is none.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            return height, width, 1 if image.mode in ('1', 'L') or image.mode[0] == 'I' else 3
    except UnidentifiedImageError:
        raise ValueError('it is empty' if not data else 'it is no image') from None
