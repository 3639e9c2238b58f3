"""Random augmentation of images in training, on the device; evaluation never sees it.

An augmentation is a frozen dataclass and a pure function `augmentation(batch, key) -> batch`. Each
example is changed on its own, by its place in the batch and the key of the step. It comes before
preprocessing: images are uint8 [B, H, W, C] in 0..255, which what it interpolates is rounded to, or
floats, which keep their type.
"""

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


class Augmentation(Protocol):
    """A random change of a training batch."""

    def __call__(self, batch: Mapping[str, Array], key: Array) -> dict[str, Array]:
        """Returns the batch with changed examples."""


def augmented(
    augmentations: Sequence[Augmentation], batch: Mapping[str, Array], key: Array
) -> dict[str, Array]:
    """Applies augmentations one after another; each has its own key."""
    for number, augmentation in enumerate(augmentations):
        batch = augmentation(batch, jax.random.fold_in(key, number))
    return dict(batch)


class OfImages(abc.ABC):
    """An augmentation of images that changes nothing else."""

    def __call__(self, batch: Mapping[str, Array], key: Array) -> dict[str, Array]:
        """Returns the batch with changed images.

        Raises:
            UserError: the data are no images.
        """
        return {**batch, 'x': self.images(images_of(self, batch), key)}

    @abc.abstractmethod
    def images(self, x: Array, key: Array) -> Array:
        """Returns images [B, H, W, C] of the same shape and type."""


def images_of(augmentation: object, batch: Mapping[str, Array]) -> Array:
    """Returns x of a batch; raises UserError unless these are images."""
    x = batch['x']
    if x.ndim != 4:
        raise UserError(
            f'{type(augmentation).__name__} takes images [H, W, C], and the data have '
            f'{list(x.shape[1:])}'
        )
    return x


@dataclass(frozen=True)
class Flip(OfImages):
    """Mirrors images, left to right.

    Attributes:
        probability: of an image to be mirrored.
        vertical: mirror top to bottom instead.
    """

    probability: float = 0.5
    vertical: bool = False

    def images(self, x: Array, key: Array) -> Array:
        flipped = jax.random.bernoulli(key, self.probability, (len(x), 1, 1, 1))
        return jnp.where(flipped, jnp.flip(x, axis=1 if self.vertical else 2), x)


@dataclass(frozen=True)
class Crop(OfImages):
    """Pads images on all sides, and cuts out a part of the original size at a random place.

    Attributes:
        padding: pixels on each side.
        mode: what the padding is: 'constant', zeros; 'reflect', the image mirrored at its border;
            'edge', its border.
    """

    padding: int = 4
    mode: Literal['constant', 'reflect', 'edge'] = 'constant'

    def images(self, x: Array, key: Array) -> Array:
        size = self.padding
        padded = jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode=self.mode)
        starts = jax.random.randint(key, (len(x), 2), 0, 2 * size + 1)

        def cut(image: Array, start: Array) -> Array:
            return jax.lax.dynamic_slice(image, (*start, jnp.int32(0)), x.shape[1:])

        return jax.vmap(cut)(padded, starts)


@dataclass(frozen=True)
class ResizedCrop(OfImages):
    """Cuts out a part of random size, aspect ratio and place, and scales it to the original size
    (Szegedy et al., "Going deeper with convolutions", 2015); linear interpolation, antialiased.

    A part that is longer than the image in one direction is shortened to it.

    Attributes:
        scale: least and largest fraction of the area.
        ratio: least and largest width / height; its logarithm is uniform.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self):
        if not 0 < self.scale[0] <= self.scale[1] <= 1 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise UserError(
                f'ResizedCrop: scale={self.scale} must be within (0, 1], and ratio={self.ratio} '
                'positive, each from its least to its largest'
            )

    def images(self, x: Array, key: Array) -> Array:
        height, width = x.shape[1:3]
        area, aspect, place = jax.random.split(key, 3)
        low, high = map(math.log, self.ratio)
        ratio = jnp.exp(jax.random.uniform(aspect, (len(x),), minval=low, maxval=high))
        part = jax.random.uniform(area, (len(x),), minval=self.scale[0], maxval=self.scale[1])
        rows = jnp.minimum(jnp.sqrt(part * height * width / ratio), height)
        columns = jnp.minimum(jnp.sqrt(part * height * width * ratio), width)
        cut = jnp.stack([rows, columns], -1)
        whole = jnp.array([height, width], jnp.float32)
        start = jax.random.uniform(place, (len(x), 2)) * (whole - cut)

        def resized(image: Array, start: Array, cut: Array) -> Array:
            factor = whole / cut
            return jax.image.scale_and_translate(
                image, image.shape, (0, 1), factor, -start * factor, 'linear', antialias=True
            )

        return as_type(jax.vmap(resized)(x.astype(jnp.float32), start, cut), x)


@dataclass(frozen=True)
class Mutate(OfImages):
    """Replaces values by uniform ones from 0..255, each with the same probability: noise for the
    background model of a likelihood ratio (Ren et al., "Likelihood ratios for out-of-distribution
    detection", 2019).

    Attributes:
        rate: probability of a value to be replaced.
    """

    rate: float = 0.1

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise UserError(f'Mutate.rate={self.rate} must be from 0 to 1')

    def images(self, x: Array, key: Array) -> Array:
        which_key, key = jax.random.split(key)
        mutated = jax.random.bernoulli(which_key, self.rate, x.shape)
        values = jax.random.randint(key, x.shape, 0, 256)
        return jnp.where(mutated, values.astype(x.dtype), x)


@dataclass(frozen=True)
class Colour(OfImages):
    """Changes brightness, contrast, saturation and hue, in this order, each by a random amount.

    Factors of the first three are uniform in [1 - a, 1 + a]; contrast is that to the mean
    brightness of the image, saturation that to each pixel's grey. Hue is turned in the plane of
    chroma (YIQ) by a uniform part of a turn in [-a, a]. Grey images have brightness and contrast
    only. Values are clipped to 0..255.

    Attributes:
        brightness: largest change of the factor.
        contrast: likewise.
        saturation: likewise.
        hue: largest part of a turn, at most 1/2.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1

    def __post_init__(self):
        for name, most in (('brightness', 1), ('contrast', 1), ('saturation', 1), ('hue', 0.5)):
            value = getattr(self, name)  # which may be traced
            if isinstance(value, int | float) and not 0 <= value <= most:
                raise UserError(f'Colour: {name}={value} must be from 0 to {most}')

    def images(self, x: Array, key: Array) -> Array:
        if x.shape[-1] not in (1, 3):
            raise UserError(f'Colour takes 1 or 3 channels, and the images have {x.shape[-1]}')
        brightness, contrast, saturation, turn = (
            jax.random.uniform(part, (len(x), 1, 1, 1), minval=-1.0)
            for part in jax.random.split(key, 4)
        )

        def clipped(y: Array) -> Array:
            return jnp.clip(y, 0.0, 255.0)

        def grey(y: Array) -> Array:
            return y if y.shape[-1] == 1 else jnp.sum(y * jnp.array(_LUMA), -1, keepdims=True)

        y = clipped(x.astype(jnp.float32) * (1 + self.brightness * brightness))
        mean = jnp.mean(grey(y), axis=(1, 2, 3), keepdims=True)
        y = clipped(mean + (y - mean) * (1 + self.contrast * contrast))
        if x.shape[-1] == 3:
            y = clipped(grey(y) + (y - grey(y)) * (1 + self.saturation * saturation))
            angle = (2 * math.pi * self.hue * turn)[:, 0, 0, 0]
            y = clipped(jnp.einsum('bhwc,bdc->bhwd', y, _turned(angle), precision='highest'))
        return as_type(y, x)


def _turned(angle: Array) -> Array:
    """Matrices [B, 3, 3] that turn the chroma of colours (RGB) by an angle [B]."""
    zero, one = jnp.zeros_like(angle), jnp.ones_like(angle)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    rows = ((one, zero, zero), (zero, cosine, -sine), (zero, sine, cosine))
    rotation = jnp.stack([jnp.stack(row, -1) for row in rows], -2)
    into = jnp.array(_YIQ)
    return jnp.einsum('ij,bjk,kl->bil', jnp.linalg.inv(into), rotation, into, precision='highest')


def as_type(y: Array, x: Array) -> Array:
    """Returns interpolated images `y` in the type of `x`; uint8 is rounded and clipped."""
    if jnp.issubdtype(x.dtype, jnp.integer):
        y = jnp.clip(jnp.round(y), 0, 255)
    return y.astype(x.dtype)
