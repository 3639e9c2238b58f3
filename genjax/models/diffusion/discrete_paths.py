"""Paths from discrete data to noise: by time t a value is kept with probability α(t), else lost.

A lost value is replaced by one from a stationary distribution, each element by itself, t = 0 the
data, t = 1 all noise (Austin et al., "Structured denoising diffusion models in discrete
state-spaces", 2021: D3PM). With evenly spaced times and the schedule 'linear', `UniformNoise` on
two values is the binomial chain of Sohl-Dickstein et al., "Deep unsupervised learning using
nonequilibrium thermodynamics" (2015). Their Gaussian chain is a path of `paths`, such as
`DiscreteVP`, with the sampler `Ancestral`.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws

_SCHEDULES = ('linear', 'cosine', 'sine')


class DiscretePath:
    """Base class. A subclass has the field `schedule` and says what noise is (`stationary`), what a
    noisy value tells of the data (`log_likelihood`), and how noise is taken back (`log_posterior`).

    Values are int32 of any one shape [...]; times are [] or broadcast to it; log-probabilities have
    one more axis, of the K values that data have. The schedule α is 'linear', 1 - t; 'cosine',
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
        """The probability that a value is kept, without cancellation where it is small."""
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
        """α(s) - α(t), from that of α and 1 - α which is small."""
        return jnp.where(t < 0.5, self.lost(t) - self.lost(s), self.alpha(s) - self.alpha(t))

    def corrupt(self, key: Array, x: Array, t: Array, num_values: int) -> Array:
        """Draws x_t given x, [...]."""
        keep_key, noise_key = jax.random.split(key)
        lost = draws.fine_uniform(keep_key, x.shape) < self.lost(t)
        return jnp.where(lost, self.stationary(noise_key, x.shape, num_values), x)

    def stationary(self, key: Array, shape: tuple[int, ...], num_values: int) -> Array:
        """Draws x_1: noise alone."""
        raise NotImplementedError

    def log_likelihood(self, noisy: Array, t: Array, num_values: int) -> Array:
        """log q(x_t | x) for each value of x, up to a constant, [..., K]."""
        raise NotImplementedError

    def log_posterior(self, noisy: Array, log_probs: Array, t: Array, s: Array) -> Array:
        """log Σ_x q(x_s | x_t, x) p(x | x_t) for each value of x_s, s < t.

        Args:
            noisy: x_t, [...].
            log_probs: log p(x | x_t), [..., K]; `log_one_hot(x)` gives q(x_s | x_t, x) itself.
            t: the time of x_t, above 0.
            s: an earlier one.

        Returns:
            [..., K], with masks [..., K + 1].
        """
        raise NotImplementedError


@dataclass(frozen=True)
class UniformNoise(DiscretePath):
    """A lost value is replaced by any of the K values: multinomial diffusion (Hoogeboom et al.,
    2021), for bits the binomial chain.
    """

    schedule: Literal['linear', 'cosine', 'sine'] = 'linear'

    def stationary(self, key: Array, shape: tuple[int, ...], num_values: int) -> Array:
        """Uniform."""
        return jax.random.randint(key, shape, 0, num_values)

    def log_likelihood(self, noisy: Array, t: Array, num_values: int) -> Array:
        """log of 1/K for what was lost, and α more where x_t is x; exact."""
        return _log_kept_or_uniform(noisy, self.alpha(t), self.lost(t), num_values)

    def log_posterior(self, noisy: Array, log_probs: Array, t: Array, s: Array) -> Array:
        """By q(x_t | x_s) Σ_x q(x_s | x) p(x | x_t) / q(x_t | x), where q(x_s | x) is x or noise:
        one sum for all x_s.
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
    """A lost value is masked: absorbing diffusion (Austin et al., 2021; Sahoo et al., 2024). The
    mask is the value K.
    """

    schedule: Literal['linear', 'cosine', 'sine'] = 'linear'

    def stationary(self, key: Array, shape: tuple[int, ...], num_values: int) -> Array:
        """Masks; `key` is not used."""
        del key
        return jnp.full(shape, num_values, jnp.int32)

    def log_likelihood(self, noisy: Array, t: Array, num_values: int) -> Array:
        """0 for all values at a mask; what is not masked is x for certain. `t` does not matter."""
        del t
        masked = noisy[..., None] == num_values
        return jnp.where(masked, 0.0, log_one_hot(noisy, num_values))

    def log_posterior(self, noisy: Array, log_probs: Array, t: Array, s: Array) -> Array:
        """A mask stays one with probability (1 - α_s) / (1 - α_t), or else becomes x."""
        num_values = log_probs.shape[-1]
        stay = jnp.log(self.lost(s) / self.lost(t))[..., None]
        leave = jnp.log(self.lost_between(s, t) / self.lost(t))[..., None]
        stay = jnp.broadcast_to(stay, (*noisy.shape, 1))
        back = jnp.concatenate([log_probs + leave, stay], axis=-1)
        masked = noisy[..., None] == num_values
        return jnp.where(masked, back, log_one_hot(noisy, num_values + 1))


def log_one_hot(x: Array, num_values: int) -> Array:
    """0 at the value and -inf at all others: int [...] to [..., K]."""
    return jnp.where(x[..., None] == jnp.arange(num_values), 0.0, -jnp.inf)


def _log_kept_or_uniform(value: Array, kept: Array, lost: Array, num_values: int) -> Array:
    """log(kept [k = value] + lost / K) for all k, [..., K]."""
    same = value[..., None] == jnp.arange(num_values)
    return jnp.log(jnp.where(same, kept[..., None], 0.0) + lost[..., None] / num_values)
