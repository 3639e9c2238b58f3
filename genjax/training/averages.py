"""Moving averages of parameters, of which power functions can be changed after training."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.models.checks import check_number

_log = logging.getLogger('genjax')
_WIDEST = 12**-0.5  # of a power function that does not fall
_TOLERATED = 0.01


class Average(ABC):
    """Base class: weight of the parameters after each update in their average."""

    @abstractmethod
    def rate(self, updates: Array, batch_size: int) -> Array:
        """Computes the weight, in [0, 1], of the parameters after this many updates."""


@dataclass(frozen=True)
class HalfLife(Average):
    """Exponential average with a half-life in training images, shorter at the beginning (Karras et
    al., StyleGAN2-ADA, 2020, and EDM, 2022): min(images, ramp · images so far).

    Attributes:
        images: half-life in examples.
        ramp: half-life as a share of the examples so far; None: no ramp.
    """

    images: float
    ramp: float | None = 0.05

    def __post_init__(self):
        check_number('HalfLife.images', self.images, above=True)
        check_number('HalfLife.ramp', self.ramp, above=True)

    def rate(self, updates: Array, batch_size: int) -> Array:
        """1 - 2^(-batch_size / half-life)."""
        images = self.images
        if self.ramp is not None:
            images = jnp.minimum(images, self.ramp * batch_size * (updates - 1.0))
        return -jnp.expm1(-jnp.log(2.0) * batch_size / jnp.maximum(images, 1e-8))


@dataclass(frozen=True)
class PowerEMA(Average):
    """Average with weights proportional to τ^γ at step τ, so that its width is a fixed share of the
    training so far (Karras et al., "Analyzing and improving the training dynamics of diffusion
    models", 2024, section 3).

    From two of these, .05 and .1 say, in the checkpoints of a run (`Experiment.keep_every`), any
    other one is computed after training: `genjax.load(workdir, ema=PowerEMA(.08))`.

    Attributes:
        std: σ_rel, standard deviation of the weights over τ as a share of the training so far.
    """

    std: float

    def __post_init__(self):
        check_number('PowerEMA.std', self.std, high=_WIDEST, above=True)

    def rate(self, updates: Array, batch_size: int) -> Array:
        """1 - (1 - 1 / updates)^(γ + 1), eq. 127."""
        del batch_size
        return -jnp.expm1((exponent(self.std) + 1.0) * jnp.log1p(-1.0 / updates))


def rate(average: Average | float, updates: Array, batch_size: int) -> Array:
    """Weight of the parameters after this many updates in an average. A decay is limited at the
    beginning, so that the initial parameters are soon forgotten.
    """
    if isinstance(average, Average):
        return average.rate(updates, batch_size)
    return 1 - jnp.minimum(average, (1.0 + updates) / (10.0 + updates))


def exponent(std: Any, numpy: Any = jnp) -> Any:
    """γ of a power function of this relative standard deviation: std² = (γ + 1) / ((γ + 2)²
    (γ + 3)), the largest root of a cubic, by Viète's formula.
    """
    inverse = std**-2.0
    p, q = -1.0 / 3.0 - inverse, 2.0 / 27.0 + 4.0 * inverse / 3.0  # x³ + p x + q, x = γ + 7 / 3
    angle = numpy.arccos(1.5 * q / p * numpy.sqrt(-3.0 / p)) / 3.0
    return 2.0 * numpy.sqrt(-p / 3.0) * numpy.cos(angle) - 7.0 / 3.0


def coefficients(
    snapshots: Sequence[tuple[int, float]], step: int, std: float
) -> tuple[np.ndarray, float]:
    """Coefficients with which averages add up best to another one (Karras et al., 2024, algorithm
    3): least squares between the power functions, then scaled to a sum of 1.

    Args:
        snapshots: step and standard deviation of each average.
        step: last step of the average wanted.
        std: its standard deviation.

    Returns:
        The coefficients, and the norm of the remaining error relative to that of the power
        function.
    """
    steps = np.array([step for step, _ in snapshots], np.float64)
    powers = exponent(np.array([std for _, std in snapshots], np.float64), np)
    power = exponent(np.float64(std), np)
    matrix = _product(steps[:, None], powers[:, None], steps, powers)
    wanted = _product(steps, powers, np.float64(step), power)
    found = np.linalg.lstsq(matrix, wanted, rcond=1e-14)[0]
    found = found / np.sum(found)  # an average of equal parameters is these
    square = _product(np.float64(step), power, np.float64(step), power)
    error = square - 2.0 * found @ wanted + found @ matrix @ found
    return found, float(np.sqrt(max(error, 0.0) / square))


def _product(end: Any, power: Any, other_end: Any, other_power: Any) -> Any:
    """∫ p q du of the densities p = (γ + 1) u^γ / t^(γ + 1) on [0, t]."""
    ratio = np.minimum(end, other_end) / np.maximum(end, other_end)
    shorter = np.where(end < other_end, other_power, power)  # the exponent of the longer one
    scale = (power + 1.0) * (other_power + 1.0) / (power + other_power + 1.0)
    return scale * ratio**shorter / np.maximum(end, other_end)


def reconstructed(
    snapshots: Mapping[int, Any], tracked: Sequence[Any], step: int, std: float
) -> Any:
    """Computes the average of a power function from those in checkpoints.

    Args:
        snapshots: step -> () -> the averages at that step, trees in the order of `tracked`.
        tracked: the averages of the experiment; other ones than `PowerEMA` are not used.
        step: last step of the average wanted, the last one of the snapshots.
        std: its standard deviation.
    """
    used = [i for i, average in enumerate(tracked) if isinstance(average, PowerEMA)]
    ids = [(at, i) for at in sorted(snapshots) for i in used]
    weights, error = coefficients([(at, float(tracked[i].std)) for at, i in ids], step, std)
    if error > _TOLERATED:
        _log.warning(
            'the average PowerEMA(%g) is off by %.1f %% in its weights: there are %d checkpoints;'
            ' keep more (config.keep_every)', std, 100 * error, len(snapshots),
        )  # fmt: skip
    weight_of = dict(zip(ids, weights, strict=True))
    parts = (
        (weight_of[at, i], average)
        for at in sorted(snapshots)
        for i, average in enumerate(snapshots[at]())
        if i in used
    )
    return _weighted_sum(parts)


def _weighted_sum(parts: Iterable[tuple[float, Any]]) -> Any:
    """Σ w a; of integers, the last."""
    total = None
    for weight, tree in parts:
        if total is None:
            total = jax.tree.map(jnp.zeros_like, tree)
        total = jax.tree.map(
            lambda sum_, new, w=weight: (
                sum_ + w * new if jnp.issubdtype(new.dtype, jnp.inexact) else new
            ),
            total,
            tree,
        )
    return total
