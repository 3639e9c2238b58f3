"""Images of samples: grids of images and scatters of points, written to a file."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from genjax.errors import UserError
from genjax.files import as_path, replacing
from genjax.models.base import HasMeans

_TILE = 48  # pixels that the side of a tile should have at least
_MARGIN = 2  # pixels between tiles
_BACKGROUND = 128  # grey: neither the black nor the white of a picture's own background
_CAPTION = 16  # pixels of height

MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}
"""The colours of an image, by its number of channels."""


def image_grid(x: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Arranges pictures in a grid, row by row, each enlarged by a whole factor if it is small.

    Args:
        x: images [N, H, W, C] of 1, 3 or 4 channels, uint8, or floats in 0..1 (others are clipped).
        columns: pictures in a row; None: as many as make the grid nearly square.

    Returns:
        One picture, uint8 [H', W', C].
    """
    if x.dtype != np.uint8:
        x = np.round(np.clip(np.nan_to_num(x, nan=0.5), 0, 1) * 255).astype(np.uint8)
    count, height, width, channels = x.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    factor = max(1, math.ceil(_TILE / max(height, width)))
    tiles = x.repeat(factor, axis=1).repeat(factor, axis=2)
    step_y, step_x = height * factor + _MARGIN, width * factor + _MARGIN
    shape = (rows * step_y + _MARGIN, columns * step_x + _MARGIN, channels)
    grid = np.full(shape, _BACKGROUND, np.uint8)
    grid[..., 3:] = 255  # opaque
    for number, tile in enumerate(tiles):
        top, left = (
            _MARGIN + place * step
            for place, step in zip(divmod(number, columns), (step_y, step_x), strict=True)
        )
        grid[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return grid


def scatter(x: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Draws points in the plane.

    Args:
        x: points [N, 2]; those that are not finite are left out, and counted in the title.
        reference: points [M, 2] drawn beneath them, which then set the limits of the axes.

    Returns:
        One picture, uint8 [H', W', 3].
    """
    # Not pyplot, which keeps every figure and may open a window.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    x = np.asarray(x, np.float64)
    finite = x[np.isfinite(x).all(axis=-1)]
    shown = finite if reference is None else np.asarray(reference, np.float64)
    figure = Figure(figsize=(5, 5), dpi=100, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect='equal')
    if reference is not None:
        axes.scatter(*shown.T, s=6, color='tab:orange', linewidths=0, label='data')
    axes.scatter(*finite.T, s=4, color='tab:blue', linewidths=0, alpha=0.6, label='samples')
    if len(shown):
        low, high = shown.min(axis=0), shown.max(axis=0)
        centre, reach = (low + high) / 2, 0.6 * max(*(high - low), 1e-3)
        axes.set_xlim(centre[0] - reach, centre[0] + reach)
        axes.set_ylim(centre[1] - reach, centre[1] + reach)
    if reference is not None:
        axes.legend(loc='upper right', markerscale=3)
    if len(finite) < len(x):
        axes.set_title(f'{len(x) - len(finite)} of {len(x)} points are not finite')
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(
    path: str | Path, x: np.ndarray, reference: np.ndarray | None = None, caption: str = ''
) -> None:
    """Writes a picture of `x` to a file, whole or not at all.

    Args:
        path: the file; its suffix (`.png`) chooses the format. Its folder is made if it is missing.
        x: in the range of the data: pictures [N, H, W, C] or [N, H, W] in 0..255, or points [N, 2].
        reference: what to compare `x` with. Of pictures, as many, such as the originals of
            reconstructions: each row of them is put above the row of `x` that belongs to it. Of
            points, any number, such as the data.
        caption: a line below the picture that says what its rows are.

    Raises:
        UserError: nothing can be drawn of this shape, or the file cannot be written.
    """
    x = np.asarray(x)
    if x.ndim == 2 and x.shape[1] == 2:
        picture = scatter(x, reference)
    elif x.ndim in (3, 4):
        pictures = _as_pictures(x)
        if reference is None:
            picture = image_grid(pictures)
        else:
            picture = _compare(pictures, _as_pictures(np.asarray(reference)))
    else:
        raise UserError(f'cannot draw a picture of an array of shape {x.shape}')
    write(path, picture, caption)


def _as_pictures(x: np.ndarray) -> np.ndarray:
    if x.ndim == 3:
        x = x[..., None]
    if x.shape[-1] not in MODES:
        raise UserError(f'cannot draw images of {x.shape[-1]} channels, only of 1, 3 or 4')
    return x if x.dtype == np.uint8 else x.astype(np.float64) / 255


def _compare(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns a grid in which every other row is the reference of the row below it."""
    if reference.shape != x.shape:
        raise ValueError(f'reference {reference.shape} and x {x.shape} differ in shape')
    if reference.dtype != x.dtype:
        x, reference = (a / 255 if a.dtype == np.uint8 else a for a in (x, reference))
    columns = min(len(x), math.ceil(math.sqrt(2 * len(x))))
    grids = [
        image_grid(
            np.concatenate([_fill(reference[i : i + columns], columns), x[i : i + columns]]),
            columns,
        )
        for i in range(0, len(x), columns)
    ]
    return np.concatenate(grids)


def _fill(x: np.ndarray, length: int) -> np.ndarray:
    """Returns `x` with grey pictures appended, so that the next picture starts a new row."""
    grey = _BACKGROUND if x.dtype == np.uint8 else _BACKGROUND / 255
    return np.concatenate([x, np.full((length - len(x), *x.shape[1:]), grey, x.dtype)])


def is_image(shape: tuple[int, ...]) -> bool:
    """Returns whether a shape is that of images: [H, W] or [H, W, C] of 1, 3 or 4 channels."""
    return len(shape) == 2 or (len(shape) == 3 and shape[-1] in MODES)


def sample_caption(model: Any, means: bool = True, labels: str | None = None) -> str:
    """What a grid of samples shows; `labels` are those asked for, None: all classes in turn."""
    of_means = means and isinstance(model, HasMeans)
    shown = 'samples (means of p(x | z))' if of_means else 'samples'
    classes = getattr(model, 'num_classes', None)
    if classes is None:
        return shown
    return f'{shown}, classes {labels or f"0..{classes - 1}"} in turn'


def as_bytes(x: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] as uint8, rounded and clipped to 0..255.

    Raises:
        UserError: these are no images.
    """
    if not is_image(x.shape[1:]):
        raise UserError(f'samples of the shape {list(x.shape[1:])} are no images')
    x = _as_pictures(x)
    if x.dtype == np.uint8:
        return x
    return np.round(np.clip(np.nan_to_num(x, nan=0.5), 0, 1) * 255).astype(np.uint8)


def write(path: str | Path, image: np.ndarray, caption: str = '') -> None:
    """Writes an image, uint8 [H, W, C], to a file, whole or not at all; the suffix of its name
    chooses the format.

    Raises:
        UserError: the format is unknown, or the file cannot be written.
    """
    path = as_path(path)
    suffix = path.suffix.lower()
    if suffix not in Image.registered_extensions():
        raise UserError(f'{path}: images are written as .png, not {suffix or "without a suffix"}')
    mode = MODES[image.shape[-1]]
    shown = Image.fromarray(image[..., 0] if mode == 'L' else image)
    if caption:
        shown = _captioned(shown, caption)
    with replacing(path) as temporary:
        shown.save(temporary, format=Image.registered_extensions()[suffix])


def _captioned(image: Image.Image, caption: str) -> Image.Image:
    """The image with a line of text below; a line that is too long is broken."""
    measure = ImageDraw.Draw(image)
    lines = ['']
    for word in caption.split():
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and measure.textlength(longer) > image.width - 8:
            lines.append(word)
        else:
            lines[-1] = longer
    white = {'L': 255, 'RGB': (255,) * 3, 'RGBA': (255,) * 4}[image.mode]
    black = {'L': 0, 'RGB': (0,) * 3, 'RGBA': (0, 0, 0, 255)}[image.mode]
    taller = Image.new(image.mode, (image.width, image.height + _CAPTION * len(lines)), white)
    taller.paste(image)
    draw = ImageDraw.Draw(taller)
    for number, line in enumerate(lines):
        draw.text((4, image.height + _CAPTION * number + 1), line, fill=black)
    return taller
