"""Scheduled model fields, and schedules that optax does not have."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ['Scheduled', 'at_step', 'cosine', 'half_life', 'staircase']


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """A numeric field given by a schedule of the step: `beta=Scheduled(optax.linear_schedule(0.,
    1., 1000))`.

    The train step replaces it by its value (`at_step`) before it gets the phases of the model:
    models only see numbers.
    """

    schedule: Callable[[Array | int], Array | float]


def at_step(model: Any, step: Array | int) -> Any:
    """Returns `model` with every `Scheduled` field, at any depth, replaced by its value."""
    if isinstance(model, Scheduled):
        return model.schedule(step)
    if isinstance(model, tuple) and not hasattr(model, '_fields'):
        items = tuple(at_step(item, step) for item in model)
        return (
            items if any(new is not old for new, old in zip(items, model, strict=True)) else model
        )
    if dataclasses.is_dataclass(model) and not isinstance(model, type):
        fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.init}
        changed = {name: at_step(value, step) for name, value in fields.items()}
        changed = {name: value for name, value in changed.items() if value is not fields[name]}
        return dataclasses.replace(model, **changed) if changed else model
    return model


def staircase(
    values: tuple[float, ...], lengths: tuple[int, ...]
) -> Callable[[Array | int], Array]:
    """Piecewise-constant schedule: values[i] for lengths[i] steps; the last value stays.

    Raises:
        ValueError: the numbers of values and lengths differ.
    """
    if not values or len(values) != len(lengths):
        raise ValueError(
            f'staircase: {len(values)} values and {len(lengths)} lengths do not go together'
        )
    ends = np.cumsum(lengths)[:-1]
    return lambda step: jnp.asarray(values)[jnp.searchsorted(jnp.asarray(ends), step, side='right')]


def cosine(first: float, last: float, steps: int) -> Callable[[Array | int], Array]:
    """Half a cosine from `first` at step 0 to `last` at `steps`, constant afterwards."""

    def schedule(step: Array | int) -> Array:
        share = jnp.clip(step / steps, 0.0, 1.0)
        return last + (first - last) * 0.5 * (1.0 + jnp.cos(jnp.pi * share))

    return schedule


def half_life(
    examples: Callable[[Array | int], Array | float], batch_size: int
) -> Callable[[Array | int], Array]:
    """Decay of a moving average with a half-life of `examples(step)` examples: 0.5 ** (batch_size /
    examples); 0 for no examples.
    """
    return lambda step: 0.5 ** (batch_size / jnp.maximum(examples(step), 1e-8))
