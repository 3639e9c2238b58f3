"""Optimizers that optax does not have."""

from collections.abc import Callable

import optax

__all__ = ['scheduled_adam']


def scheduled_adam(
    learning_rate: float | Callable,
    b1: float | Callable = 0.9,
    b2: float | Callable = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """`optax.adam` whose decays may also be schedules of the step."""
    return optax.inject_hyperparams(optax.adam)(learning_rate, b1=b1, b2=b2, eps=eps)
