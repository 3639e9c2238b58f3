"""Fields of a model that change while it trains, and schedules that optax does not have."""

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

    The train step replaces it by its value with `at_step` before it asks the model for its phases,
    so that models only ever see numbers.
    """

    schedule: Callable[[Array | int], Array | float]


def at_step(model: Any, step: Array | int) -> Any:
    """Returns `model` with every `Scheduled` field, however deep, replaced by its value."""
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
    """values[i] for lengths[i] steps, one after another; the last value stays.

    Raises:
        ValueError: there are not as many lengths as values.
    """
    if not values or len(values) != len(lengths):
        raise ValueError(
            f'staircase: {len(values)} values and {len(lengths)} lengths do not go together'
        )
    ends = np.cumsum(lengths)[:-1]
    return lambda step: jnp.asarray(values)[jnp.searchsorted(jnp.asarray(ends), step, side='right')]


def cosine(first: float, last: float, steps: int) -> Callable[[Array | int], Array]:
    """Half a cosine from `first` at step 0 to `last` at `steps`, where it stays; up or down."""

    def schedule(step: Array | int) -> Array:
        share = jnp.clip(step / steps, 0.0, 1.0)
        return last + (first - last) * 0.5 * (1.0 + jnp.cos(jnp.pi * share))

    return schedule


def half_life(
    examples: Callable[[Array | int], Array | float], batch_size: int
) -> Callable[[Array | int], Array]:
    """The decay of a moving average of which half is the last `examples(step)` examples:
    .5 ** (batch_size / examples); 0 where there are none.
    """
    return lambda step: 0.5 ** (batch_size / jnp.maximum(examples(step), 1e-8))
