"""Differentiable augmentation of the discriminator's input images.

Applying the same random transforms to real and fake images, in both players' phases, keeps the
discriminator from overfitting to small data sets. The transforms do not leak into the samples as
long as each is skipped often enough (Karras et al., 2020, "Training Generative Adversarial Networks
with Limited Data", sec. 2; Zhao et al., 2020, "Differentiable Augmentation for Data-Efficient GAN
Training").

Geometric transforms resample the image bilinearly, with zeros outside (mid-grey for data in
[-1, 1]). Separable transforms are one matrix product from each side, without gathers or scatters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError, nearest


def resample(x: Array, rows: Array, columns: Array) -> Array:
    """Samples x [H, W, C] bilinearly at real rows [H'] and columns [W']; zero outside."""

    def weights(places: Array, size: int) -> Array:
        return jax.nn.relu(1.0 - jnp.abs(places[:, None] - jnp.arange(size)))

    height, width, _ = x.shape
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum(
        'ih,jw,hwc->ijc', weights(rows, height), weights(columns, width), x, precision=highest
    )


def flip(x: Array, mirrored: Array) -> Array:
    """Mirrors x [H, W, C] from left to right where `mirrored`."""
    return jnp.where(mirrored, x[:, ::-1], x)


def rotate90(x: Array, quarters: Array) -> Array:
    """Rotates a square x [S, S, C] anticlockwise by 0 to 3 quarter turns."""
    return jax.lax.switch(quarters, [lambda x, k=k: jnp.rot90(x, k) for k in range(4)], x)


def translate(x: Array, down: Array, right: Array) -> Array:
    """Shifts x [H, W, C] by `down` and `right` pixels, filling with zeros."""
    return resample(x, jnp.arange(x.shape[0]) - down, jnp.arange(x.shape[1]) - right)


def scale(x: Array, factor: Array) -> Array:
    """Enlarges x [H, W, C] by `factor` about its middle."""

    def places(size: int) -> Array:
        middle = (size - 1) / 2
        return (jnp.arange(size) - middle) / factor + middle

    return resample(x, places(x.shape[0]), places(x.shape[1]))


def stretch(x: Array, factor: Array) -> Array:
    """Enlarges the width of x [H, W, C] by `factor` and shrinks its height by it, about its
    middle.
    """

    def places(size: int, factor: Array) -> Array:
        middle = (size - 1) / 2
        return (jnp.arange(size) - middle) / factor + middle

    return resample(x, places(x.shape[0], 1.0 / factor), places(x.shape[1], factor))


def rotate(x: Array, angle: Array) -> Array:
    """Rotates x [H, W, C] anticlockwise by an angle in radians about its middle."""
    rows, columns = jnp.meshgrid(
        *(jnp.arange(size) - (size - 1) / 2 for size in x.shape[:2]), indexing='ij'
    )
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    middle = jnp.array([(size + 1) / 2 for size in x.shape[:2]])  # of the padded picture
    places = (
        cosine * rows + sine * columns + middle[0],
        cosine * columns - sine * rows + middle[1],
    )
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    return jax.vmap(lambda plane: jax.scipy.ndimage.map_coordinates(plane, places, order=1), 2, 2)(
        padded
    )


def luma_flip(x: Array, flipped: Array) -> Array:
    """Reverses the mean over the channels of x [H, W, C], and keeps the differences from it, where
    `flipped`.
    """
    return jnp.where(flipped, x - 2.0 * jnp.mean(x, axis=-1, keepdims=True), x)


def hue(x: Array, angle: Array) -> Array:
    """Rotates the colours of x [H, W, 3] about the grey axis by an angle in radians (Rodrigues'
    formula); the identity for one channel.
    """
    if x.shape[-1] != 3:
        return x
    grey = jnp.mean(x, axis=-1, keepdims=True)
    across = (jnp.roll(x, 1, axis=-1) - jnp.roll(x, -1, axis=-1)) / jnp.sqrt(3.0)
    return grey + jnp.cos(angle) * (x - grey) + jnp.sin(angle) * across


def noise(x: Array, scale: Array, key: Array) -> Array:
    """Adds normal noise of this standard deviation."""
    return x + scale * jax.random.normal(key, x.shape)


def brightness(x: Array, amount: Array) -> Array:
    """Adds `amount` to all of x."""
    return x + amount


def saturation(x: Array, factor: Array) -> Array:
    """Scales the distance of x [H, W, C] from each pixel's mean; the identity for one channel."""
    grey = jnp.mean(x, axis=-1, keepdims=True)
    return grey + factor * (x - grey)


def contrast(x: Array, factor: Array) -> Array:
    """Scales the distance of x [H, W, C] from its mean."""
    mean = jnp.mean(x)
    return mean + factor * (x - mean)


def cutout(x: Array, row: Array, column: Array) -> Array:
    """Zeroes a rectangle centred at a pixel, with half the height and width of x [H, W, C]."""

    def inside(size: int, centre: Array) -> Array:
        start = centre - size // 4
        place = jnp.arange(size)
        return (place >= start) & (place < start + size // 2)

    hole = inside(x.shape[0], row)[:, None] & inside(x.shape[1], column)
    return jnp.where(hole[..., None], 0.0, x)


def _uniform(low: float, high: float) -> Callable[[Array, tuple[int, ...]], tuple[Array, ...]]:
    return lambda key, shape: (jax.random.uniform(key, (), minval=low, maxval=high),)


def _log_normal(std: float) -> Callable[[Array, tuple[int, ...]], tuple[Array, ...]]:
    """Draws 2^N(0, std²)."""
    return lambda key, shape: (2.0 ** (std * jax.random.normal(key)),)


def _normal_shift(key: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return tuple(0.125 * jnp.array(shape[:2]) * jax.random.normal(key, (2,)))


def _noise(key: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    scale_key, key = jax.random.split(key)
    return 0.1 * jnp.abs(jax.random.normal(scale_key)), key


def _shift(key: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Draws a shift in whole pixels, up to an eighth of each side (rounded)."""
    most = jnp.array([(size + 4) // 8 for size in shape[:2]])
    return tuple(jax.random.randint(key, (2,), -most, most + 1))


def _pixel(key: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return tuple(jax.random.randint(key, (2,), 0, jnp.array(shape[:2])))


# name -> (transform of one image, (key, shape of an image) -> its random arguments)
TRANSFORMS = {
    'flip': (flip, lambda key, shape: (jax.random.bernoulli(key),)),
    'rotate90': (rotate90, lambda key, shape: (jax.random.randint(key, (), 0, 4),)),
    'scale': (scale, _log_normal(0.2)),
    'rotate': (rotate, _uniform(-math.pi, math.pi)),
    'stretch': (stretch, _log_normal(0.2)),
    'translate': (translate, _shift),
    'shift': (translate, _normal_shift),
    'luma_flip': (luma_flip, lambda key, shape: (jax.random.bernoulli(key),)),
    'hue': (hue, _uniform(-math.pi, math.pi)),
    'noise': (noise, _noise),
    'brightness': (brightness, _uniform(-0.5, 0.5)),
    'saturation': (saturation, _uniform(0.0, 2.0)),
    'contrast': (contrast, _uniform(0.5, 1.5)),
    'cutout': (cutout, _pixel),
}


ADA_TRANSFORMS = (
    'flip', 'rotate90', 'translate', 'scale', 'rotate', 'stretch', 'rotate', 'shift', 'brightness',
    'contrast', 'luma_flip', 'hue', 'saturation',
)  # fmt: skip
"""Pixel blitting, geometry and colour of Karras et al. (2020), whose best set this is; brightness,
contrast and saturation as in `Augment`."""


@dataclass(frozen=True)
class Augment:
    """Applies random transforms to images, each with the same probability per image.

    The strengths are those of Zhao et al. (2020) for data in [-1, 1]: brightness U(-.5, .5),
    saturation U(0, 2), contrast U(.5, 1.5), translation by up to 1/8 of a side, a cut-out of half
    the sides; and of Karras et al. (2020): flips, quarter turns, scaling and stretching by
    2^N(0, .2²), rotation and hue by any angle, shifts by N(0, .125²) of the sides, reversed luma,
    and noise of |N(0, .1²)|. `ADA_TRANSFORMS` are theirs in their order.

    An applied transform can be the identity: a flip mirrors half of the images, a quarter turn
    rotates three quarters. So for every probability up to .7 the transforms are invertible on the
    level of distributions (their appendix C), and the generator can still learn the data.

    With a `target` the probability adapts (ADA; Karras et al., 2020): it rises while the
    discriminator overfits, E[sign D(x)] > target on data, and falls otherwise, by
    1 / `images_to_full` per image. It is kept as the discriminator's state `augment`. This needs a
    loss with real and fake logits of opposite sign.

    Attributes:
        transforms: names from `TRANSFORMS`, in the order of application. The default is the policy
            of DiffAugment.
        probability: of each transform for each image; with a `target`, the initial value.
        target: target of E[sign D(x)] on data, .6 in the paper; None: `probability` is fixed.
        images_to_full: minimum number of data images for the probability to rise from 0 to 1.
    """

    transforms: tuple[str, ...] = ('brightness', 'saturation', 'contrast', 'translate', 'cutout')
    probability: float = 1.0
    target: float | None = None
    images_to_full: int = 500_000

    def __post_init__(self):
        for name in self.transforms:
            if name not in TRANSFORMS:
                known = ', '.join(TRANSFORMS)
                raise UserError(
                    f'Augment.transforms: unknown {name!r}{nearest(name, TRANSFORMS)}'
                    f' (known: {known})'
                )

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises a UserError unless examples of this shape can be transformed."""
        if len(shape) != 3:
            raise UserError(f'Augment works on pictures (height, width, channels), not on {shape}')
        if 'rotate90' in self.transforms and shape[0] != shape[1]:
            raise UserError(f'Augment.transforms: rotate90 needs square pictures, not {shape}')

    def __call__(self, x: Array, key: Array, probability: Array | float) -> Array:
        """Augments images x [B, H, W, C], applying each transform with this probability."""
        return jax.vmap(lambda x, key: self._one(x, key, probability))(
            x, jax.random.split(key, len(x))
        )

    def _one(self, x: Array, key: Array, probability: Array | float) -> Array:
        for i, name in enumerate(self.transforms):
            transform, draw = TRANSFORMS[name]
            gate_key, draw_key = jax.random.split(jax.random.fold_in(key, i))
            gate = jax.random.uniform(gate_key) < probability
            x = jnp.where(gate, transform(x, *draw(draw_key, x.shape)), x)
        return x

    def adapted(self, probability: Array, sign: Array, images: Array | int) -> Array:
        """Updates the probability after a batch (ADA).

        Args:
            probability: the current probability.
            sign: the mean of sign(D(x)) over the data of the batch.
            images: number of data images in the batch.
        """
        change = jnp.sign(sign - self.target) * images / self.images_to_full
        return jnp.clip(probability + change, 0.0, 1.0)
