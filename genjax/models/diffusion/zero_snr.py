"""Variance-preserving paths rescaled to end in pure noise."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from genjax.models.diffusion.paths import VariancePreserving


@dataclass(frozen=True)
class ZeroTerminalSNR(VariancePreserving):
    """Another path with α' = (α - α(t_max)) / (1 - α(t_max)): its signal is 0 at the end, as in
    sampling (Lin et al., "Common diffusion noise schedules and sample steps are flawed", 2024,
    algorithm 1, with α(0) = 1 as its first value). ε does not determine x there: use `V` or `X0`.

    Attributes:
        path: a variance-preserving path, such as `LinearVP` or `DiscreteVP`.
    """

    path: VariancePreserving
    t_min: float = 1e-3
    t_max: float = 1.0

    def _missing(self, log_alpha: Array) -> Array:
        """1 - α, relative to that at t_max."""
        end = self.path.log_alpha(jnp.asarray(self.t_max, jnp.float32))
        return jnp.expm1(log_alpha) / jnp.expm1(end)

    def alpha(self, t: Array) -> Array:
        return 1.0 - self._missing(self.path.log_alpha(t))

    def sigma(self, t: Array) -> Array:
        """√(1 - α²), without cancellation where α is nearly 1 and with a finite slope where it is
        0.
        """
        missing = self._missing(self.path.log_alpha(t))
        return jnp.sqrt(missing * (2.0 - missing))

    def log_alpha(self, t: Array) -> Array:
        return jnp.log1p(-self._missing(self.path.log_alpha(t)))

    def time_of_log_alpha(self, log_alpha: Array) -> Array:
        end = self.path.log_alpha(jnp.asarray(self.t_max, jnp.float32))
        return self.path.time_of_log_alpha(jnp.log1p(jnp.expm1(log_alpha) * -jnp.expm1(end)))
