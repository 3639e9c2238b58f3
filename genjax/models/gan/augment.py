"""Random transforms of the images that a discriminator sees, differentiable in the image.

Reals and fakes are transformed alike and in both players' turns, so that a discriminator cannot
overfit to few data, while the transforms do not leak into the samples as long as each is left out
often enough (Karras et al., 2020, "Training Generative Adversarial Networks with Limited Data",
sec. 2; Zhao et al., 2020, "Differentiable Augmentation for Data-Efficient GAN Training").

Geometric transforms resample the image: every output pixel reads a place of the input, weighing
its neighbours bilinearly; what lies outside is zero, mid-grey for data in [-1, 1]. Where the rows
and columns do not mix, this is one matrix product from each side, without gathers or scatters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError, nearest


def resample(x: Array, rows: Array, columns: Array) -> Array:
    """Reads x [H, W, C] at the rows [H'] and columns [W'], as real numbers; zero outside of it."""

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
    """Turns a square x [S, S, C] anticlockwise by 0 to 3 quarters."""
    return jax.lax.switch(quarters, [lambda x, k=k: jnp.rot90(x, k) for k in range(4)], x)


def translate(x: Array, down: Array, right: Array) -> Array:
    """Shifts x [H, W, C] by so many pixels; zeros move in."""
    return resample(x, jnp.arange(x.shape[0]) - down, jnp.arange(x.shape[1]) - right)


def scale(x: Array, factor: Array) -> Array:
    """Enlarges x [H, W, C] by `factor` about its middle."""

    def places(size: int) -> Array:
        middle = (size - 1) / 2
        return (jnp.arange(size) - middle) / factor + middle

    return resample(x, places(x.shape[0]), places(x.shape[1]))


def brightness(x: Array, amount: Array) -> Array:
    """Adds `amount` to all of x."""
    return x + amount


def saturation(x: Array, factor: Array) -> Array:
    """Scales the distance of x [H, W, C] from each pixel's mean; does nothing to one channel."""
    grey = jnp.mean(x, axis=-1, keepdims=True)
    return grey + factor * (x - grey)


def contrast(x: Array, factor: Array) -> Array:
    """Scales the distance of x [H, W, C] from its mean."""
    mean = jnp.mean(x)
    return mean + factor * (x - mean)


def cutout(x: Array, row: Array, column: Array) -> Array:
    """Blanks a rectangle with half the sides of x [H, W, C] centred at a pixel, to zero."""

    def inside(size: int, centre: Array) -> Array:
        start = centre - size // 4
        place = jnp.arange(size)
        return (place >= start) & (place < start + size // 2)

    hole = inside(x.shape[0], row)[:, None] & inside(x.shape[1], column)
    return jnp.where(hole[..., None], 0.0, x)


def _uniform(low: float, high: float) -> Callable[[Array, tuple[int, ...]], tuple[Array, ...]]:
    return lambda key, shape: (jax.random.uniform(key, (), minval=low, maxval=high),)


def _shift(key: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Whole pixels, up to an eighth of each side (rounded)."""
    most = jnp.array([(size + 4) // 8 for size in shape[:2]])
    return tuple(jax.random.randint(key, (2,), -most, most + 1))


def _pixel(key: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return tuple(jax.random.randint(key, (2,), 0, jnp.array(shape[:2])))


# name -> (transform of one image, (key, shape of an image) -> its random arguments)
TRANSFORMS = {
    'flip': (flip, lambda key, shape: (jax.random.bernoulli(key),)),
    'rotate90': (rotate90, lambda key, shape: (jax.random.randint(key, (), 0, 4),)),
    'scale': (scale, lambda key, shape: (2.0 ** (0.2 * jax.random.normal(key)),)),
    'translate': (translate, _shift),
    'brightness': (brightness, _uniform(-0.5, 0.5)),
    'saturation': (saturation, _uniform(0.0, 2.0)),
    'contrast': (contrast, _uniform(0.5, 1.5)),
    'cutout': (cutout, _pixel),
}


@dataclass(frozen=True)
class Augment:
    """Transforms of images, each applied to each image with one probability.

    The strengths are those of Zhao et al. (2020) for data in [-1, 1]: brightness U(-.5, .5),
    saturation U(0, 2), contrast U(.5, 1.5), translation by up to 1/8 of a side, a cut-out of half
    the sides; and of Karras et al. (2020): flips, quarter turns, and scaling by 2^N(0, .2²).

    The transform of an image is drawn anew and may be none: a flip mirrors one image in two, a
    quarter turn turns three in four. So the distribution of the data can be told from that of the
    transformed images at every probability up to .7 (their appendix C): no transform takes away
    what a generator could not learn.

    With a `target` the probability adapts (ADA; Karras et al., 2020): it rises while the share of
    data that the discriminator takes for real says that it overfits, E[sign D(x)] > target, and
    falls otherwise, by 1 / `images_to_full` an image. It is kept as the discriminator's state
    `augment`. This needs a loss whose logits know real from fake by their sign.

    Attributes:
        transforms: names from `TRANSFORMS`, in the order of application. Their default is the
            policy of DiffAugment.
        probability: of each transform of each image; with a `target`, at the start.
        target: the E[sign D(x)] at data to keep, .6 in the paper; None: `probability` is fixed.
        images_to_full: images of data in which the probability could go from 0 to 1.
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
        """Transforms images x [B, H, W, C], each transform with this probability."""
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
        """The probability after a batch.

        Args:
            probability: before it.
            sign: the mean of sign(D(x)) over the data of the batch.
            images: how many those are.
        """
        change = jnp.sign(sign - self.target) * images / self.images_to_full
        return jnp.clip(probability + change, 0.0, 1.0)
