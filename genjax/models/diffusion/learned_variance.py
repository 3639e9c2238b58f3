"""Learned variances of the reverse process (Nichol & Dhariwal, "Improved denoising diffusion
probabilistic models", 2021).
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.checks import check_number
from genjax.models.diffusion.likelihood import vlb_ends
from genjax.models.diffusion.parameterisations import Prediction
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import (
    Denoiser,
    interpolated_log_variance,
    posterior_variance,
    transition_variance,
)


@dataclass(frozen=True)
class LearnedVariance:
    """The variance of x_s given x_t, between those of `Ancestral`, is a second output of the
    network (eq. 15), learned from the bound of a chain of `num_steps` steps from t_max to t_min:
    the loss is L_simple + weight · L_vlb, whose gradient in the expected x is stopped (eq. 16).

    Attributes:
        weight: λ of the bound in nats per dimension.
        num_steps: steps of the chain.
    """

    weight: float = 1e-3
    num_steps: int = 1000

    def __post_init__(self):
        check_number('LearnedVariance.weight', self.weight)
        if self.num_steps < 1:
            raise UserError(f'LearnedVariance.num_steps must be at least 1, not {self.num_steps}')

    def split(self, output: Array) -> tuple[Array, Array]:
        """Splits an output of twice the channels into F and the share v of the upper variance."""
        output, share = jnp.split(output, 2, axis=-1)
        return output, 0.5 * (share + 1.0)

    def loss(self, path: Path, prediction: Prediction, x: Array, t: Array) -> Array:
        """Bound per dimension [B] from the step of the chain that ends at t [B, 1, …], 0 before the
        first: the average over uniform times estimates L_vlb without its end terms.
        """
        s = t - (path.t_max - path.t_min) / self.num_steps
        inside = s >= path.t_min
        s = jnp.where(inside, s, 0.5 * t)
        data, noise = jax.lax.stop_gradient(prediction[:2])
        prediction = prediction._replace(data=data, noise=noise)
        step = transition_kl(path, prediction, x, t, s)
        step = jnp.where(inside.reshape(len(x)), step, 0.0)
        return self.num_steps * step / math.prod(x.shape[1:])

    def bound(self, denoise: Denoiser, path: Path, x: Array, key: Array, num: int) -> Array:
        """Estimates the variational lower bound [B] of log p(x) of the chain, from `num` of its
        steps per example.
        """
        offset_key, key = jax.random.split(key)
        offset = jax.random.uniform(offset_key, (len(x),))

        def draw(inputs: tuple[Array, Array]) -> Array:
            number, key = inputs
            step = jnp.floor((offset + number / num) % 1.0 * self.num_steps)
            return self.step(denoise, path, x, step, key)

        steps = jax.lax.map(draw, (jnp.arange(num), jax.random.split(key, num)))
        return -vlb_ends(path, x) - self.num_steps * jnp.mean(steps, axis=0)

    def step(self, denoise: Denoiser, path: Path, x: Array, number: Array, key: Array) -> Array:
        """KL [B] of steps of the chain, number 0 next to the data, at a random x_t."""
        width = (path.t_max - path.t_min) / self.num_steps
        s = (path.t_min + width * number).reshape(-1, *(1,) * (x.ndim - 1))
        t = s + width
        noisy = path.alpha(t) * x + path.sigma(t) * jax.random.normal(key, x.shape)
        return transition_kl(path, denoise(noisy, t), x, t, s)


def transition_kl(path: Path, prediction: Prediction, x: Array, t: Array, s: Array) -> Array:
    """KL [B] in nats of q(x_s | x_t, x) from p(x_s | x_t), both normal.

    Args:
        path: the path.
        prediction: data, and share of the upper variance, given x_t.
        x: data [B, *event].
        t: times [B, 1, …].
        s: earlier times.
    """
    variance = posterior_variance(path, t, s)
    log_ratio = interpolated_log_variance(path, prediction.share, t, s) - jnp.log(variance)
    # The means differ by x - x̂ times its coefficient in E[x_s | x_t, x].
    pull = path.alpha(s) * transition_variance(path, t, s) / path.sigma(t) ** 2
    squares = (pull * (x - prediction.data)) ** 2 / variance
    terms = 0.5 * (log_ratio + (1.0 + squares) * jnp.exp(-log_ratio) - 1.0)
    return jnp.sum(terms.reshape(len(x), -1), axis=-1)
