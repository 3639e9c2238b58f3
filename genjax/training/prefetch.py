"""Transfers batches to the devices ahead of the steps."""

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
    """Yields the batch of each call of the step program, while the next one is transferred.

    Transfers are asynchronous, so no thread is needed; they take device memory for one more batch.

    Args:
        batches: this process's rows of the batches of successive steps.
        layout: sharding of the batches.
        steps: steps per call; several batches are stacked.
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
