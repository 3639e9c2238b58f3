"""Log-likelihoods of diffusion models, in nats."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import ode
from genjax.models.diffusion.parameterisations import Prediction
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import Denoiser, velocity


def ode_log_prob(
    denoise: Callable[..., Prediction],
    path: Path,
    x: Array,
    key: Array,
    divergence: Literal['exact', 'hutchinson'],
    tolerance: float,
    rows: tuple[Array, ...] = (),
) -> Array:
    """Computes the log-density [B] by the probability-flow ODE (Song et al., 2021, section 4.3), an
    estimate for 'hutchinson'. `rows` [B, ...] are further arguments of the denoiser.

    This is the density of the ODE's samples, up to solver error and the noise σ(t_min): α(t_min) x
    is taken as the state at t_min, without adding that noise.
    """
    start, end = jnp.float32(path.t_min), jnp.float32(path.t_max)
    scale, sigma = path.alpha(start), path.sigma(end)
    z, log_det = ode.solve(
        lambda x, t, *rows: velocity(path, denoise(x, t, *rows), t),
        scale * x, path.t_min, path.t_max, tolerance, ode.directions(divergence, x, key), rows,
    )  # fmt: skip
    squares = jnp.sum((z / sigma).reshape(len(x), -1) ** 2, axis=-1)
    dimensions = math.prod(x.shape[1:])
    log_det = log_det + dimensions * jnp.log(scale)
    return log_det - 0.5 * (squares + dimensions * jnp.log(2.0 * jnp.pi * sigma**2))


def vlb_ends(path: Path, x: Array) -> Array:
    """Computes the end terms of the negative bound [B]: the reconstruction term
    -E log p(x | x_tmin), with a normal around x_t / α, and the prior term, the KL of x_tmax from
    the noise (Kingma et al., 2021, eq. 11).
    """
    dimensions = math.prod(x.shape[1:])
    first = 0.5 * dimensions * (1.0 + math.log(2.0 * math.pi) - path.log_snr(path.t_min))
    ratio = path.alpha(path.t_max) / path.sigma(path.t_max)
    return first + 0.5 * jnp.sum((ratio * x).reshape(len(x), -1) ** 2, axis=-1)


def vlb_rate(
    denoise: Callable[[Array, Array], Prediction], path: Path, x: Array, t: Array, noise: Array
) -> Array:
    """Computes ½ |ε - ε̂|² [B] at times t [B]. Its expectation over the noise, integrated over the
    log-SNR, is the diffusion term of the negative bound (Kingma et al., 2021, eq. 17).
    """
    t = t.reshape(-1, *(1,) * (x.ndim - 1))
    error = noise - denoise(path.alpha(t) * x + path.sigma(t) * noise, t).noise
    return 0.5 * jnp.sum(error.reshape(len(x), -1) ** 2, axis=-1)


def vlb(denoise: Denoiser, path: Path, x: Array, key: Array, num: int) -> Array:
    """Estimates the continuous-time variational lower bound [B] of log p(x) from `num` times per
    example, evenly spaced in the log-SNR.
    """
    high, low = path.finite_ends('the variational bound')
    offset_key, key = jax.random.split(key)
    offset = jax.random.uniform(offset_key, (len(x),))

    def draw(inputs: tuple[Array, Array]) -> Array:
        number, key = inputs
        share = (offset + number / num) % 1.0
        t = path.time(low + share * (high - low))
        return vlb_rate(denoise, path, x, t, jax.random.normal(key, x.shape))

    rates = jax.lax.map(draw, (jnp.arange(num), jax.random.split(key, num)))
    return -vlb_ends(path, x) - (high - low) * jnp.mean(rates, axis=0)
