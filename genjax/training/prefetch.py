"""Batches on the devices before the step asks for them."""

import itertools
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import NamedSharding

from genjax.data.pipeline import Batch
from genjax.parallel import sharding


def feed(
    batches: Iterator[Batch], layout: NamedSharding, steps: int = 1
) -> Iterator[dict[str, jax.Array]]:
    """Yields what each call of the step program takes, the transfer of the next already begun.

    A transfer runs beside the step and is not waited for, so this takes no thread; it takes the
    memory of one more call's batch on the devices.

    Args:
        batches: this process's rows of the batches of successive steps.
        layout: where they are to lie.
        steps: steps in one call; their batches are stacked if there are several.
    """
    calls = (sharding.place(call, layout) for call in _stacked(batches, steps))
    ahead = next(calls)
    for following in calls:
        yield ahead
        ahead = following
    yield ahead


def _stacked(batches: Iterator[Batch], steps: int) -> Iterator[Batch]:
    if steps == 1:
        yield from batches
        return
    while parts := list(itertools.islice(batches, steps)):
        yield {name: np.stack([part[name] for part in parts]) for name in parts[0]}
