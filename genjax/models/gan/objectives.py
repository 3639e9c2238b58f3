"""What the players of a GAN minimise, example by example, and the gradient penalties."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Objective:
    """Losses as functions of logits, [B] -> [B].

    Attributes:
        real: the discriminator's loss on data.
        fake: the discriminator's loss on samples.
        generator: the generator's loss on its samples.
    """

    real: Callable[[Array], Array]
    fake: Callable[[Array], Array]
    generator: Callable[[Array], Array]


OBJECTIVES = {
    # Goodfellow et al., 2014
    'non_saturating': Objective(
        real=lambda logits: jax.nn.softplus(-logits),
        fake=jax.nn.softplus,
        generator=lambda logits: jax.nn.softplus(-logits),
    ),
    # Lim & Ye, 2017
    'hinge': Objective(
        real=lambda logits: jax.nn.relu(1.0 - logits),
        fake=lambda logits: jax.nn.relu(1.0 + logits),
        generator=lambda logits: -logits,
    ),
    # Arjovsky et al., 2017
    'wasserstein': Objective(
        real=lambda logits: -logits, fake=lambda logits: logits, generator=lambda logits: -logits
    ),
}


def squared_norm(x: Array) -> Array:
    """Sum of squares of each example, [B, ...] -> [B]."""
    return jnp.sum(x.reshape(x.shape[0], -1) ** 2, axis=-1)


def r1_penalty(gradient: Array) -> Array:
    """Half the squared norm of the gradient at data, [B] (Mescheder et al., 2018)."""
    return 0.5 * squared_norm(gradient)


def gradient_norm_penalty(gradient: Array) -> Array:
    """Squared distance of the gradient's norm from one, [B] (Gulrajani et al., 2017)."""
    return (jnp.sqrt(squared_norm(gradient) + 1e-12) - 1.0) ** 2


def interpolate(key: Array, real: Array, fake: Array) -> Array:
    """A uniform point on the line between each pair of examples."""
    weight = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1))
    return real + weight * (fake - real)
