"""Time discretisations for samplers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.checks import check_number
from genjax.models.diffusion.paths import Path


class Grid(ABC):
    """Base class: `grid(path, num) -> times [num + 1]`, decreasing from t_max to 0."""

    @abstractmethod
    def __call__(self, path: Path, num: int) -> Array:
        """The times of `num` steps."""


@dataclass(frozen=True)
class PowerSchedule(Grid):
    """t = t_max (i / num)^power: evenly spaced for power 1, finer near the data above 1.

    Attributes:
        power: the exponent.
    """

    power: float = 1.0

    def __call__(self, path: Path, num: int) -> Array:
        return path.t_max * jnp.linspace(1.0, 0.0, num + 1) ** self.power


@dataclass(frozen=True)
class KarrasSchedule(Grid):
    """(σ / α)^(1/ρ) evenly spaced between t_max and t_min, then 0 (Karras et al., 2022, eq. 5).

    Attributes:
        rho: ρ.
    """

    rho: float = 7.0

    def __call__(self, path: Path, num: int) -> Array:
        """Computes the times of `num` steps; raises a UserError if t_min is not positive."""
        log_snr = _log_snr_ends(path)
        root = jnp.exp(-0.5 * log_snr / self.rho)
        ratio = jnp.linspace(root[0], root[1], num) ** self.rho
        return jnp.append(path.time(-2.0 * jnp.log(ratio)), 0.0)


@dataclass(frozen=True)
class LogSNRSchedule(Grid):
    """Log-SNR evenly spaced between t_max and t_min, then 0 (Lu et al., "DPM-Solver", 2022)."""

    def __call__(self, path: Path, num: int) -> Array:
        """Computes the times of `num` steps; raises a UserError if t_min is not positive."""
        return jnp.append(path.time(jnp.linspace(*_log_snr_ends(path), num)), 0.0)


@dataclass(frozen=True)
class ShiftedSchedule(Grid):
    """The times of another grid, moved to where σ / α is `shift` times as large, up to t_max: along
    `Rectified` t ↦ s t / (1 + (s - 1) t) (Esser et al., "Scaling rectified flow transformers",
    2024, eq. 23); in logarithms the shift of "simple diffusion" (Hoogeboom et al., 2023).

    Attributes:
        grid: the other grid.
        shift: s; above 1 for more steps at high noise, as large images need.
    """

    grid: Grid = field(default_factory=PowerSchedule)
    shift: float = 3.0

    def __post_init__(self):
        check_number('ShiftedSchedule.shift', self.shift, above=True)

    def __call__(self, path: Path, num: int) -> Array:
        return shifted(path, self.grid(path, num), self.shift)


def shifted(path: Path, t: Array, shift: Array | float) -> Array:
    """Computes the times at which σ / α is `shift` times as large as at t, at most t_max."""
    inside = (t > 0) & (t < path.t_max)
    moved = path.time(path.log_snr(jnp.where(inside, t, 0.5 * path.t_max)) - 2.0 * jnp.log(shift))
    return jnp.where(inside, jnp.minimum(moved, path.t_max), t)


def _log_snr_ends(path: Path) -> Array:
    """Computes the log-SNR at t_max and t_min."""
    if path.t_min <= 0:
        raise UserError(
            f'a grid of log-SNRs needs {type(path).__name__}.t_min above 0, not {path.t_min}'
        )
    first, later, last = path.log_snr(
        jnp.array([path.t_max, path.t_max * (1.0 - 1e-4), path.t_min])
    )
    # Start slightly below t_max if α is 0 there, as for `Rectified`.
    return jnp.stack([jnp.where(jnp.isfinite(first), first, later), last])
