"""The augmentation of EDM, whose parameters are a condition of the model (Karras et al.,
"Elucidating the design space of diffusion-based generative models", 2022, appendix F.2).
"""

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.augmentation import as_type, images_of
from genjax.data.sources import Dataset, OfBase, Source
from genjax.errors import UserError

NUM_LABELS = 9
"""Labels of an image: mirrored left to right, and top to bottom; log2 of the scale, over 0.2;
cosine - 1 and sine of the rotation; stretching n along an axis of angle r, n cos r and n sin r,
which leave its sign open; shift to the right and down, in eighths. All are 0 for an image as it is.
"""

_SCALE, _STRETCH, _SHIFT = 0.2, 0.2, 0.125  # standard deviations: of log2 factors, of the sides
_FINE = 2  # how many times finer images are sampled than their pixels


@dataclass(frozen=True)
class EDMAugment:
    """Mirrors, scales, rotates, stretches and shifts images, and writes the nine parameters over
    the last nine numbers of their context, so that the model learns what was done to an image, and
    none of it leaks into samples of the context 0.

    Images are mirrored left to right with probability 1/2. Each of the others occurs with
    `probability`, on its own: mirroring top to bottom (then with 1/2), scaling by 2^(0.2 n),
    rotation by a uniform angle, stretching by 2^(0.2 n) along a random axis and shrinking by as
    much across it (along the image's axes with 1/2), and shifts by 0.125 n of its sides, where n is
    normal. Beyond its border an image is mirrored. Pixels are those of an image upsampled by 2
    (cubic), interpolated linearly at 2 x 2 points each; EDM filters with wavelets.

    The data need contexts that end in nine zeros, as those of `AugmentLabels` do.

    Attributes:
        probability: of each change; published: 0.12 for CIFAR-10, 0.15 for larger images.
    """

    probability: float = 0.12

    def __call__(self, batch: Mapping[str, Array], key: Array) -> dict[str, Array]:
        """Returns the batch with changed images and contexts.

        Raises:
            UserError: the data are no images, or have no such contexts.
        """
        x, context = images_of(self, batch), batch.get('context')
        if context is None or context.ndim != 2 or context.shape[1] < NUM_LABELS:
            raise UserError(
                f'EDMAugment writes {NUM_LABELS} labels at the end of the context, and the data '
                'have none: dataset=AugmentLabels(…)'
            )
        flips, matrix, shift, labels = self._draw(key, len(x))
        for axis, flipped in zip((2, 1), flips, strict=True):
            x = jnp.where(flipped[:, None, None, None], jnp.flip(x, axis), x)
        shift = shift * _SHIFT * jnp.array([x.shape[2], x.shape[1]])
        moved = as_type(jax.vmap(_resampled)(x.astype(jnp.float32), matrix, shift), x)
        same = jnp.all(labels[:, 2:] == 0, axis=1)
        x = jnp.where(same[:, None, None, None], x, moved)
        context = jnp.concatenate([context[:, :-NUM_LABELS], labels], axis=1)
        return {**batch, 'x': x, 'context': context}

    def _draw(self, key: Array, num: int) -> tuple[tuple[Array, Array], Array, Array, Array]:
        """Draws flips [B], the matrices [B, 2, 2] and shifts [B, 2] (x, y) that map places of the
        result to those of the image, and the labels [B, 9].
        """
        keys = iter(jax.random.split(key, 13))

        def sometimes(value: Array, probability: float = self.probability) -> Array:
            chosen = jax.random.bernoulli(next(keys), probability, (num,))
            return jnp.where(chosen.reshape(num, *(1,) * (value.ndim - 1)), value, 0.0)

        def coin() -> Array:
            return jax.random.bernoulli(next(keys), shape=(num,)).astype(jnp.float32)

        def angle() -> Array:
            return jax.random.uniform(next(keys), (num,), minval=-math.pi, maxval=math.pi)

        across, down = coin(), sometimes(coin())
        scale = sometimes(jax.random.normal(next(keys), (num,)))
        turn = sometimes(angle())
        stretch = sometimes(jax.random.normal(next(keys), (num,)))
        axis = sometimes(angle(), 0.5)
        shift = sometimes(jax.random.normal(next(keys), (num, 2)))
        factor = jnp.exp2(_STRETCH * stretch)
        stretched = _rotation(-axis) @ _diagonal(1 / factor, factor) @ _rotation(axis)
        matrix = _rotation(turn) @ stretched / jnp.exp2(_SCALE * scale)[:, None, None]
        labels = [
            across, down, scale, jnp.cos(turn) - 1, jnp.sin(turn),
            stretch * jnp.cos(axis), stretch * jnp.sin(axis), shift[:, 0], shift[:, 1],
        ]  # fmt: skip
        return (across == 1, down == 1), matrix, shift, jnp.stack(labels, axis=1)


def _rotation(angle: Array) -> Array:
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cosine, -sine], -1), jnp.stack([sine, cosine], -1)], -2)


def _diagonal(first: Array, second: Array) -> Array:
    zero = jnp.zeros_like(first)
    return jnp.stack([jnp.stack([first, zero], -1), jnp.stack([zero, second], -1)], -2)


def _resampled(image: Array, matrix: Array, shift: Array) -> Array:
    """Returns the image [H, W, C] whose point p, from the centre, is that of `image` at
    matrix (p - shift).
    """
    height, width, channels = image.shape
    fine = jax.image.resize(image, (_FINE * height, _FINE * width, channels), 'cubic')
    y, x = jnp.meshgrid(*((jnp.arange(_FINE * n) + 0.5) / _FINE - n / 2 for n in (height, width)),
                        indexing='ij')  # fmt: skip
    x, y = x - shift[0], y - shift[1]
    places = (
        _FINE * (matrix[1, 0] * x + matrix[1, 1] * y + height / 2) - 0.5,
        _FINE * (matrix[0, 0] * x + matrix[0, 1] * y + width / 2) - 0.5,
    )
    taken = jax.vmap(
        lambda plane: jax.scipy.ndimage.map_coordinates(plane, places, order=1, mode='reflect'),
        in_axes=2,
        out_axes=2,
    )(fine)
    return taken.reshape(height, _FINE, width, _FINE, channels).mean(axis=(1, 3))


@dataclass(frozen=True)
class AugmentLabels(OfBase):
    """Another data set, whose examples have contexts for `EDMAugment`: their class, one-hot, if it
    has classes, and nine zeros, which say that an image is as it is.

    Attributes:
        base: images, with or without labels.
    """

    base: Dataset

    @property
    def context_shape(self) -> tuple[int, ...]:
        """Number of classes and nine."""
        return ((self.num_classes or 0) + NUM_LABELS,)

    def source(self, split: str) -> Source:
        """Returns the examples of `'train'`, `'validation'` or `'test'`."""
        return _WithContext(self.base.source(split), self.num_classes or 0)


class _WithContext:
    """A `Source` with one-hot labels and nine zeros as context."""

    def __init__(self, base: Source, num_classes: int):
        self.in_memory = base.in_memory
        self._base, self._num_classes = base, num_classes

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        examples = self._base[indices]
        context = np.zeros((len(examples['x']), self._num_classes + NUM_LABELS), np.float32)
        if self._num_classes:
            label = examples['label']
            known = np.flatnonzero(label >= 0)
            context[known, label[known]] = 1
        return {**examples, 'context': context}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the base data and the number of classes."""
        identity = f'{self._base.fingerprint} {self._num_classes} {NUM_LABELS}'
        return hashlib.sha256(identity.encode()).hexdigest()
