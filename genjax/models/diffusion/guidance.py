"""Guidance: wrappers that make a denoiser of denoisers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.diffusion.parameterisations import Prediction
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import Denoiser


def extrapolate(weak: Prediction, strong: Prediction, weight: Array | float) -> Prediction:
    """weak + weight · (strong - weak): 0 is the weak one, 1 the strong one, more goes beyond."""
    return jax.tree.map(lambda a, b: a + weight * (b - a), weak, strong)


def classifier_free(
    denoise: Callable[[Array, Array, Array], Prediction],
    label: Array,
    no_label: int,
    weight: Array | float,
) -> Denoiser:
    """Away from what the network says without a label (Ho & Salimans, 2022); both in one pass.

    Args:
        denoise: `(x, t, label int32 [B]) -> Prediction`.
        label: int32 [B].
        no_label: the label that stands for none.
        weight: 1 is no guidance; the paper's w is this weight less 1.
    """

    def guided(x: Array, t: Array) -> Prediction:
        labels = jnp.concatenate([jnp.full_like(label, no_label), label])
        both = denoise(jnp.concatenate([x, x]), t, labels)
        weak, strong = (jax.tree.map(lambda a, i=i: jnp.split(a, 2)[i], both) for i in (0, 1))
        return extrapolate(weak, strong, weight)

    return guided


def autoguidance(strong: Denoiser, weak: Denoiser, weight: Array | float) -> Denoiser:
    """Away from what a worse model of the same data says (Karras et al., "Guiding a diffusion model
    with a bad version of itself", 2024).
    """
    return lambda x, t: extrapolate(weak(x, t), strong(x, t), weight)


def classifier(
    denoise: Denoiser,
    path: Path,
    log_prob: Callable[[Array, Array], Array],
    weight: Array | float,
    least: float = 0.1,
) -> Denoiser:
    """Towards a higher log p(label | x_t) of a classifier of noisy data (Dhariwal & Nichol, 2021).

    The expected data move by σ² / α times the slope of log p. The true slope falls with α, the
    errors of a learned one do not: where α / σ is below `least` there is no guidance.

    Args:
        denoise: what is guided.
        path: of the noise.
        log_prob: `(x, t) -> [B]`, in nats.
        weight: 1 is Bayes' rule.
        least: the least α / σ at which the slope is followed.
    """

    def guided(x: Array, t: Array) -> Prediction:
        alpha, sigma = path.alpha(t), path.sigma(t)
        guides = alpha >= least * sigma
        slope = jax.grad(lambda x: jnp.sum(log_prob(x, t)))(x)
        shift = jnp.where(guides, weight * sigma * slope, 0.0)  # of -ε: σ times the score
        prediction = denoise(x, t)
        ratio = sigma / jnp.where(guides, alpha, 1.0)
        return Prediction(prediction.data + ratio * shift, prediction.noise - shift)

    return guided


def interval(guided: Denoiser, plain: Denoiser, low: float, high: float) -> Denoiser:
    """Guides at times between `low` and `high` only (Kynkäänniemi et al., 2024)."""

    def limited(x: Array, t: Array) -> Prediction:
        return jax.lax.cond((t >= low) & (t <= high), guided, plain, x, t)

    return limited


def bounded(denoise: Denoiser, path: Path, low: float, high: float) -> Denoiser:
    """Keeps the expected data between `low` and `high`, and makes the noise fit."""

    def clipped(x: Array, t: Array) -> Prediction:
        data = jnp.clip(denoise(x, t).data, low, high)
        return Prediction(data, (x - path.alpha(t) * data) / path.sigma(t))

    return clipped


def inpainting(
    denoise: Denoiser, path: Path, known: Array, mask: Array, data_scale: Array | float
) -> Denoiser:
    """Towards data that are `known` where `mask` is true: pseudo-inverse guidance (Song et al.,
    2023), which is Bayes' rule with x given x_t taken as normal.

    The slope is that of the denoiser itself, whose error matters up to more signal than that of a
    classifier: of digits inpainted along four paths the rms error is .55 to .69 with α / σ of .2 as
    the least; with .1 it passes 900 where the network predicts ε.

    Args:
        denoise: what is guided, without bounds: the slope of clipped data is 0.
        path: of the noise.
        known: data, [B, *event] or what broadcasts to it.
        mask: bool, likewise: what is known.
        data_scale: the standard deviation of the data, or rather of what is left of it when the
            rest is known.
    """

    def log_prob(x: Array, t: Array) -> Array:
        error = jnp.where(mask, known - denoise(x, t).data, 0.0)
        alpha, sigma = path.alpha(t) * data_scale, path.sigma(t)
        variance = (sigma * data_scale) ** 2 / (alpha**2 + sigma**2)
        return -0.5 * jnp.sum(error.reshape(len(x), -1) ** 2, axis=-1) / variance

    return classifier(denoise, path, log_prob, 1.0, least=0.2)
