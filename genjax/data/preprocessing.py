"""Preprocessing of data on the device, with log-determinants.

Each step is a frozen dataclass and a pure function: `step(x, key) -> (y, log_det)` where
`log_det`, float32 [B] in nats, is added to log p(y) to obtain the log-density (or log-probability)
of x: log p(x) = log p(y) + log_det, or ≥ in expectation where `bound` is true.
`step.inverse(y)` maps back to the range of the data, e.g. to show images.

The noise of an example depends on the key and its position in the batch, not on other examples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError

_NOISE_BITS = 13


class Step(Protocol):
    """One step of preprocessing.

    Attributes:
        bound: whether `log_det` gives a lower bound on the log-probability rather than its value.
        takes_pixels: whether its input are the values 0..255 of the data, so that it must come
            first.

    A step without a log-determinant, which densities cannot pass, has an attribute `lossy`, true;
    its `log_det` is NaN. A step that depends on more than its fields has an attribute `provenance`,
    recorded with a run, or None; its 'fingerprint' must not change when the run is resumed or used.
    A step for one kind of data has `check(dataset)`, which raises UserError if it does not fit. A
    step whose inverse does not map to the range of `x` (stored latents, decoded to images) has
    `show(x)`, which maps examples to the range of the inverse as arrays on the host, and
    `shown_shape`, the shape of one.
    """

    bound: bool
    takes_pixels: bool

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns `y` [B, ...] and `log_det` float32 [B]."""

    def inverse(self, y: Array) -> Array:
        """Maps `y` back to the range of `x`, float32."""


@dataclass(frozen=True)
class Scale:
    """Maps 0..255 linearly onto [low, high].

    Attributes:
        low: image of 0.
        high: image of 255.
        levels: number of pixel values, spread evenly over 0..255; the inverse rounds to the
            nearest.
        None: it does not round.
    """

    low: float = 0.0
    high: float = 1.0
    levels: int | None = None

    bound: ClassVar[bool] = False
    takes_pixels: ClassVar[bool] = True

    def __post_init__(self):
        traced = isinstance(self.low, Array) or isinstance(self.high, Array)
        if not traced and self.low == self.high:
            raise UserError(f'low={self.low} and high={self.high} leave nothing between them')

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns the scaled `x`; `key` is not used."""
        del key
        factor = (self.high - self.low) / 255
        y = self.low + factor * x.astype(jnp.float32)
        return y, _constant(x, jnp.log(jnp.abs(factor)))

    def inverse(self, y: Array) -> Array:
        """Returns `y` in the range 0..255."""
        share = (y - self.low) / (self.high - self.low)
        if self.levels is None:
            return 255 * share
        last = self.levels - 1
        return jnp.round(255 / last * jnp.round(last * jnp.clip(share, 0.0, 1.0)))


@dataclass(frozen=True)
class Binarise:
    """Dynamic binarisation: draws each pixel as 1 with probability x / 255, anew in each call.

    The binary images are then the data, so the log-determinant is 0. Results are not comparable
    with those for a single fixed draw (`binarized_mnist`).
    """

    bound: ClassVar[bool] = False
    takes_pixels: ClassVar[bool] = True

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns zeros and ones as float32."""
        y = jax.random.bernoulli(key, x.astype(jnp.float32) / 255).astype(jnp.float32)
        return y, _constant(x, 0.0)

    def inverse(self, y: Array) -> Array:
        """Maps bits, or probabilities of bits, to 0..255."""
        return 255 * y


@dataclass(frozen=True)
class Dequantise:
    """Adds uniform noise, y = (x + u) / levels with u in [0, 1), so that counts get a density.

    By Jensen's inequality log P(x) ≥ E_u[log p(y)] - D log(levels); Theis, van den Oord & Bethge,
    "A note on the evaluation of generative models" (2016).
    """

    levels: int = 256

    bound: ClassVar[bool] = True
    takes_pixels: ClassVar[bool] = True

    def __post_init__(self):
        if isinstance(self.levels, int) and not 2 <= self.levels <= 256:
            raise UserError(f'levels={self.levels} must be between 2 and 256')

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns `y` in the open interval (0, 1)."""
        # Midpoints of 2**13 equal parts: x + u is exact in float32 and far enough from x and
        # x + 1 for `inverse` to recover x from the rounded y.
        bits = jax.random.bits(key, x.shape, jnp.uint16) >> (16 - _NOISE_BITS)
        noise = (bits.astype(jnp.float32) + 0.5) / 2**_NOISE_BITS
        y = (x.astype(jnp.float32) + noise) / self.levels
        return y, _constant(x, -jnp.log(jnp.float32(self.levels)))

    def inverse(self, y: Array) -> Array:
        """Returns the value 0..levels-1 whose interval contains `y`."""
        return jnp.clip(jnp.floor(y * self.levels), 0, self.levels - 1)


@dataclass(frozen=True)
class AddNoise:
    """Adds normal noise, anew in each call: y = x + scale · ε. A density that is trained on these
    examples is one of noisy examples, and gives none of the data. `FlowSampling(denoise=scale)`
    takes the noise away from samples.

    Attributes:
        scale: standard deviation of the noise.
    """

    scale: float

    bound: ClassVar[bool] = False
    takes_pixels: ClassVar[bool] = False
    lossy: ClassVar[bool] = True

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns the noisy examples."""
        y = x.astype(jnp.float32)
        return y + self.scale * jax.random.normal(key, x.shape), _constant(x, jnp.nan)

    def inverse(self, y: Array) -> Array:
        """Returns `y`."""
        return y


@dataclass(frozen=True)
class Logit:
    """Maps [0, 1] to the real line, y = logit(alpha + (1 - 2 alpha) x); Dinh et al., Real NVP
    (2017).
    """

    alpha: float = 0.05

    bound: ClassVar[bool] = False
    takes_pixels: ClassVar[bool] = False

    def __post_init__(self):
        if isinstance(self.alpha, int | float) and not 0 <= self.alpha < 0.5:
            raise UserError(f'alpha={self.alpha} must be at least 0 and less than 0.5')

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns the logits of `x` in [0, 1] (open where alpha is 0); `key` is not used."""
        del key
        if jnp.issubdtype(x.dtype, jnp.integer):
            raise UserError('Logit takes values in [0, 1]: put Dequantise or Scale before it')
        squeezed = self.alpha + (1 - 2 * self.alpha) * x.astype(jnp.float32)
        log_s, log_1_s = jnp.log(squeezed), jnp.log1p(-squeezed)
        log_slope = jnp.log1p(-2 * jnp.float32(self.alpha)) - log_s - log_1_s
        return log_s - log_1_s, jnp.sum(log_slope.reshape(len(x), -1), axis=-1)

    def inverse(self, y: Array) -> Array:
        """Returns `y` in [0, 1]."""
        return (jax.nn.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha)


@dataclass(frozen=True)
class Chain:
    """Applies steps one after another and adds up their log-determinants.

    Without steps it is the identity: images become float32, other integers (tokens) stay integers.

    Attributes:
        steps: the steps, the first one first.
    """

    steps: tuple = ()

    takes_pixels: ClassVar[bool] = True

    def __post_init__(self):
        for step in self.steps:
            missing = [n for n in ('bound', 'takes_pixels', 'inverse') if not hasattr(step, n)]
            if missing or not callable(step):
                lacks = ', '.join(missing) or '__call__'
                raise UserError(f'{step!r} is not a preprocessing step: it has no {lacks}')
        for step in self.steps[1:]:
            if step.takes_pixels:
                raise UserError(f'{type(step).__name__} takes the pixels of the data: put it first')

    @property
    def bound(self) -> bool:
        """Returns whether any step gives only a lower bound on the log-probability."""
        return any(step.bound for step in self.steps)

    @property
    def lossy(self) -> bool:
        """Returns whether any step has no log-determinant."""
        return any(getattr(step, 'lossy', False) for step in self.steps)

    @property
    def provenance(self) -> dict[str, Mapping[str, Any]]:
        """Provenance of the steps that depend on more than their fields."""
        return {
            f'steps[{number}]': step.provenance
            for number, step in enumerate(self.steps)
            if getattr(step, 'provenance', None) is not None
        }

    @property
    def shown_shape(self) -> tuple[int, ...] | None:
        """Shape of an example from `show`, if it differs from that of the data."""
        return getattr(self.steps[0], 'shown_shape', None) if self.steps else None

    def check(self, dataset: Any) -> None:
        """Raises UserError if a step does not fit the data set."""
        for step in self.steps:
            if hasattr(step, 'check'):
                step.check(dataset)

    def show(self, x: np.ndarray) -> np.ndarray:
        """Maps examples `x` of the data to the range of samples from `inverse`."""
        shown = self.steps and hasattr(self.steps[0], 'show')
        return self.steps[0].show(x) if shown else x

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns `y` and the sum of the log-determinants; each step has its own key."""
        total = _constant(x, 0.0)
        if jnp.issubdtype(x.dtype, jnp.floating) or (x.dtype == jnp.uint8 and not self.steps):
            x = x.astype(jnp.float32)
        for number, step in enumerate(self.steps):
            x, log_det = step(x, jax.random.fold_in(key, number))
            total += log_det
        return x, total

    def inverse(self, y: Array) -> Array:
        """Returns `y` in the range of the data."""
        for step in reversed(self.steps):
            y = step.inverse(y)
        return y


def _constant(x: Array, per_dimension: Array | float) -> Array:
    """Log-determinant of a map with the same slope everywhere, float32 [B]."""
    dimensions = math.prod(x.shape[1:])
    return jnp.full(len(x), dimensions * jnp.asarray(per_dimension, jnp.float32), jnp.float32)
