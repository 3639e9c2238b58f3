"""Samplers of discrete diffusion: pure functions `sampler(predict, path, times, x, key) -> x`.

`predict(x int32 [B, *event], t []) -> log p(x | x_t)` [B, *event, K], normalised; `times` [N + 1]
decrease to 0, and x is at times[0]. `samplers.OneStep` implements the loop.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import draws
from genjax.models.checks import check_number
from genjax.models.diffusion.discrete_paths import DiscretePath
from genjax.models.diffusion.samplers import OneStep

Predictor = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class DiscreteAncestral(OneStep):
    """Draws x_s from Σ_x q(x_s | x_t, x) p(x | x_t), independently per element: D3PM (Austin et
    al., 2021). Exact in the limit of infinitely many steps.
    """

    def step(
        self, denoise: Predictor, path: DiscretePath, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        return draws.categorical(key, path.log_posterior(x, denoise(x, t), t, s))


@dataclass(frozen=True)
class Confidence(OneStep):
    """Draws all masked tokens [B, T] and masks the (1 - α_s) T least confident of them again:
    MaskGIT (Chang et al., 2022). For the path `Masking`. It sharpens the distribution.

    Attributes:
        temperature: scale of the Gumbel noise on the confidence at time 1, at least 0; proportional
            to time.
    """

    temperature: float = 4.5

    def __post_init__(self):
        check_number('Confidence.temperature', self.temperature)

    def step(
        self, denoise: Predictor, path: DiscretePath, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        token_key, noise_key = jax.random.split(key)
        log_probs = denoise(x, t)
        masked = x == log_probs.shape[-1]
        tokens = jnp.where(masked, draws.categorical(token_key, log_probs), x)
        confidence = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
        confidence += self.temperature * s * jax.random.gumbel(noise_key, x.shape)
        # Round down, with a tolerance for float32 errors.
        num = jnp.floor(path.lost(s) * x.shape[-1] + 1e-4)
        return jnp.where(smallest(jnp.where(masked, confidence, jnp.inf), num), x, tokens)


def smallest(values: Array, num: Array) -> Array:
    """Marks the `num` smallest values of each row [B, T]: bool [B, T]."""
    rank = jnp.argsort(jnp.argsort(values, axis=-1), axis=-1)
    return rank < num
