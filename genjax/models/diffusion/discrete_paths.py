"""Paths from discrete data to noise: at time t a value is kept with probability α(t), else lost.

A lost value is replaced by a draw from a stationary distribution, independently per element; t = 0
is the data, t = 1 pure noise (Austin et al., "Structured denoising diffusion models in discrete
state-spaces", 2021: D3PM). With evenly spaced times and the schedule 'linear', `UniformNoise` on
two values is the binomial chain of Sohl-Dickstein et al., "Deep unsupervised learning using
nonequilibrium thermodynamics" (2015). Their Gaussian chain is a path of `paths`, such as
`DiscreteVP`, with the sampler `Ancestral`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws

_SCHEDULES = ('linear', 'cosine', 'sine')


class DiscretePath(ABC):
    """Base class. Subclasses have the field `schedule` and implement the noise distribution
    (`stationary`), the likelihood of a noisy value (`log_likelihood`) and the reverse transition
    (`log_posterior`).

    Values are int32 [...]; times are [] or broadcast to that shape; log-probabilities have an extra
    last axis over the K values of data. The schedule α is 'linear', 1 - t; 'cosine',
    cos²(π t / 2) (Nichol & Dhariwal, 2021); or 'sine', 1 - sin(π t / 2) (Chang et al., 2022).
    """

    schedule: Literal['linear', 'cosine', 'sine']
    t_max = 1.0

    def __post_init__(self):
        if self.schedule not in _SCHEDULES:
            raise UserError(
                f'{type(self).__name__}.schedule is one of {", ".join(_SCHEDULES)}, '
                f'not {self.schedule!r}'
            )

    def alpha(self, t: Array) -> Array:
        """Probability that a value is kept, without cancellation where it is small."""
        left = 1.0 - t
        return {
            'linear': lambda: left,
            'cosine': lambda: jnp.sin(0.5 * jnp.pi * left) ** 2,
            'sine': lambda: 2.0 * jnp.sin(0.25 * jnp.pi * left) ** 2,
        }[self.schedule]()

    def lost(self, t: Array) -> Array:
        """1 - α, without cancellation where it is small."""
        return {
            'linear': lambda: t,
            'cosine': lambda: jnp.sin(0.5 * jnp.pi * t) ** 2,
            'sine': lambda: jnp.sin(0.5 * jnp.pi * t),
        }[self.schedule]()

    def lost_between(self, s: Array, t: Array) -> Array:
        """Probability α(s) - α(t) that a value is lost to noise between times s < t, without
        cancellation near α = 1.
        """
        return jnp.where(t < 0.5, self.lost(t) - self.lost(s), self.alpha(s) - self.alpha(t))

    def corrupt(self, key: Array, x: Array, t: Array, num_values: int) -> Array:
        """Draws x_t given x, [...]."""
        keep_key, noise_key = jax.random.split(key)
        lost = draws.fine_uniform(keep_key, x.shape) < self.lost(t)
        return jnp.where(lost, self.stationary(noise_key, x.shape, num_values), x)

    @abstractmethod
    def stationary(self, key: Array, shape: tuple[int, ...], num_values: int) -> Array:
        """Draws x_1, pure noise."""

    @abstractmethod
    def log_likelihood(self, noisy: Array, t: Array, num_values: int) -> Array:
        """Computes log q(x_t | x) for each value of x, up to a constant, [..., K]."""

    @abstractmethod
    def log_posterior(self, noisy: Array, log_probs: Array, t: Array, s: Array) -> Array:
        """Computes log Σ_x q(x_s | x_t, x) p(x | x_t) for each value of x_s, s < t.

        Args:
            noisy: x_t, [...].
            log_probs: log p(x | x_t), [..., K]; `log_one_hot(x)` gives q(x_s | x_t, x) itself.
            t: the time of x_t, above 0.
            s: an earlier time.

        Returns:
            [..., K], or [..., K + 1] for `Masking`.
        """


@dataclass(frozen=True)
class UniformNoise(DiscretePath):
    """Replaces a lost value uniformly by one of the K values: multinomial diffusion (Hoogeboom et
    al., 2021); for bits the binomial chain.
    """

    schedule: Literal['linear', 'cosine', 'sine'] = 'linear'

    def stationary(self, key: Array, shape: tuple[int, ...], num_values: int) -> Array:
        return jax.random.randint(key, shape, 0, num_values)

    def log_likelihood(self, noisy: Array, t: Array, num_values: int) -> Array:
        """log(α [x_t = x] + (1 - α) / K); exact."""
        return _log_kept_or_uniform(noisy, self.alpha(t), self.lost(t), num_values)

    def log_posterior(self, noisy: Array, log_probs: Array, t: Array, s: Array) -> Array:
        """Computes q(x_t | x_s) Σ_x q(x_s | x) p(x | x_t) / q(x_t | x). As q(x_s | x) mixes a point
        mass and uniform noise, one sum serves all x_s.
        """
        num_values = log_probs.shape[-1]
        alpha_s = self.alpha(s)
        lost_since = self.lost_between(s, t) / alpha_s
        forward = _log_kept_or_uniform(noisy, 1.0 - lost_since, lost_since, num_values)
        weight = log_probs - self.log_likelihood(noisy, t, num_values)
        total = jax.nn.logsumexp(weight, axis=-1, keepdims=True)
        kept, lost = (jnp.log(share)[..., None] for share in (alpha_s, self.lost(s) / num_values))
        return forward + jnp.logaddexp(kept + weight, lost + total)


@dataclass(frozen=True)
class Masking(DiscretePath):
    """Masks a lost value: absorbing diffusion (Austin et al., 2021; Sahoo et al., 2024). The mask
    is the value K.
    """

    schedule: Literal['linear', 'cosine', 'sine'] = 'linear'

    def stationary(self, key: Array, shape: tuple[int, ...], num_values: int) -> Array:
        """Masks; `key` is not used."""
        del key
        return jnp.full(shape, num_values, jnp.int32)

    def log_likelihood(self, noisy: Array, t: Array, num_values: int) -> Array:
        """0 for all values at a mask; elsewhere 0 for the value itself and -inf for all others."""
        del t
        masked = noisy[..., None] == num_values
        return jnp.where(masked, 0.0, log_one_hot(noisy, num_values))

    def log_posterior(self, noisy: Array, log_probs: Array, t: Array, s: Array) -> Array:
        """A mask is kept with probability (1 - α_s) / (1 - α_t), otherwise replaced by x."""
        num_values = log_probs.shape[-1]
        stay = jnp.log(self.lost(s) / self.lost(t))[..., None]
        leave = jnp.log(self.lost_between(s, t) / self.lost(t))[..., None]
        stay = jnp.broadcast_to(stay, (*noisy.shape, 1))
        back = jnp.concatenate([log_probs + leave, stay], axis=-1)
        masked = noisy[..., None] == num_values
        return jnp.where(masked, back, log_one_hot(noisy, num_values + 1))


def log_one_hot(x: Array, num_values: int) -> Array:
    """Returns 0 at the value and -inf at all others: int [...] to [..., K]."""
    return jnp.where(x[..., None] == jnp.arange(num_values), 0.0, -jnp.inf)


def _log_kept_or_uniform(value: Array, kept: Array, lost: Array, num_values: int) -> Array:
    """Computes log(kept [k = value] + lost / K) for all k, [..., K]."""
    same = value[..., None] == jnp.arange(num_values)
    return jnp.log(jnp.where(same, kept[..., None], 0.0) + lost[..., None] / num_values)
