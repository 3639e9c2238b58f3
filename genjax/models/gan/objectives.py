"""Losses of the players of a GAN, and gradient penalties."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import relu, softplus


@dataclass(frozen=True)
class Objective:
    """Losses of both players on pairs of a real and a fake logit.

    Both are functions `(real_logits, fake_logits) -> losses`, elementwise: for logits [B] of B
    pairs they return [B], for maps of logits [B, H, W] maps of losses.

    Attributes:
        discriminator: the discriminator's loss.
        generator: the generator's loss; most ignore the real logits.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]


OBJECTIVES = {
    # Goodfellow et al., 2014: the discriminator's negative log-likelihood in nats
    'non_saturating': Objective(
        discriminator=lambda real, fake: softplus(-real) + softplus(fake),
        generator=lambda real, fake: softplus(-fake),
    ),
    # Mao et al., 2017, with the targets 1 for reals and 0 for fakes
    'least_squares': Objective(
        discriminator=lambda real, fake: 0.5 * ((real - 1.0) ** 2 + fake**2),
        generator=lambda real, fake: 0.5 * (fake - 1.0) ** 2,
    ),
    # Lim & Ye, 2017
    'hinge': Objective(
        discriminator=lambda real, fake: relu(1.0 - real) + relu(1.0 + fake),
        generator=lambda real, fake: -fake,
    ),
    # Arjovsky et al., 2017
    'wasserstein': Objective(
        discriminator=lambda real, fake: fake - real, generator=lambda real, fake: -fake
    ),
    # Jolicoeur-Martineau, 2019 (RpGAN); with R1 and R2 the objective of R3GAN (Huang et al., 2024)
    'relativistic': Objective(
        discriminator=lambda real, fake: softplus(fake - real),
        generator=lambda real, fake: softplus(real - fake),
    ),
}
"""By name; `OBJECTIVES[name].discriminator(real_logits, fake_logits)`."""


def feature_distance(real: Array, fake: Array, mask: Array) -> Array:
    """Squared distance of the mean features of data and samples [B, D], over the examples in `mask`
    [B]: feature matching (Salimans et al., "Improved techniques for training GANs", 2016).
    """
    change = jnp.where(mask[:, None], real - fake, 0.0)
    return jnp.sum((jnp.sum(change, axis=0) / jnp.maximum(jnp.sum(mask), 1)) ** 2)


def squared_norm(x: Array) -> Array:
    """Sum of squares of each example, [B, ...] -> [B]."""
    return jnp.sum(x.reshape(x.shape[0], -1) ** 2, axis=-1)


def r1_penalty(gradient: Array) -> Array:
    """Half the squared norm of the logit's gradient, [B] (Mescheder et al., 2018).

    At data it is R1, at samples R2.
    """
    return 0.5 * squared_norm(gradient)


def gradient_norm_penalty(gradient: Array) -> Array:
    """Squared distance of the gradient's norm from one, [B] (Gulrajani et al., 2017)."""
    return (jnp.sqrt(squared_norm(gradient) + 1e-12) - 1.0) ** 2


def interpolate(key: Array, real: Array, fake: Array) -> Array:
    """Draws a uniform point on the line between each pair of examples."""
    weight = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1))
    return real + weight * (fake - real)


def lecam_penalty(real: Array, fake: Array, real_anchor: Array, fake_anchor: Array) -> Array:
    """Computes the LeCam penalty [B]: the squared distances of real logits from the average fake
    logit and of fake logits from the average real logit (Tseng et al., 2021, eq. 4).

    Args:
        real: logits of data [B].
        fake: logits of samples [B].
        real_anchor: moving average of the real logits, a scalar.
        fake_anchor: moving average of the fake logits, a scalar.
    """
    return (real - fake_anchor) ** 2 + (fake - real_anchor) ** 2


def orthogonal_penalty(params: Any) -> Array:
    """Computes Σ ‖Wᵀ W ⊙ (1 - I)‖² over the kernels W [inputs, outputs] of a network: the squared
    inner products of different units (Brock et al., BigGAN, 2019, eq. 3).
    """
    total = jnp.zeros(())
    for path, kernel in jax.tree_util.tree_leaves_with_path(params):
        if getattr(path[-1], 'key', None) == 'kernel':
            matrix = kernel.reshape(-1, kernel.shape[-1])
            products = jnp.matmul(matrix.T, matrix, precision='highest')
            total += jnp.sum(products**2) - jnp.sum(jnp.diagonal(products) ** 2)
    return total
