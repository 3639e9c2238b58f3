"""How the benchmarks train, and take a figure: warm-up calls, then blocks, whose median counts."""

import functools
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genjax.hardware.allocator import keep_freed_memory
from genjax.parallel.sharding import MeshShape, replicated, rows
from genjax.training import Experiment
from genjax.training.state import init_state
from genjax.training.step import train_step

keep_freed_memory()  # as genjax's commands do on a CPU

WARM_UP, MIN_BLOCKS = 3, 5


def measure(
    call: Callable[[], object],
    amount: int,
    seconds: float,
    warm_up: int = WARM_UP,
    min_blocks: int = MIN_BLOCKS,
) -> dict[str, float]:
    """Rates a second of the median, slowest and fastest block; and the first call's seconds.

    Args:
        call: what to time; it waits for its own result.
        amount: what one call gets done, in the unit of the rate (samples, tokens).
        seconds: how long to go on, after the warm-up.
        warm_up: calls before that.
        min_blocks: how many blocks to time at least.
    """
    warm = []
    for _ in range(warm_up):
        start = time.perf_counter()
        call()
        warm.append(time.perf_counter() - start)
    block = max(1, int(seconds / 10 / max(warm[-1], 1e-9)))
    rates, end = [], time.perf_counter() + seconds
    while len(rates) < min_blocks or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(block):
            call()
        rates.append(amount * block / (time.perf_counter() - start))
    return {
        'value': _five_digits(statistics.median(rates)),
        'min': _five_digits(min(rates)),
        'max': _five_digits(max(rates)),
        'reps': len(rates),
        'calls_per_rep': block,
        'first_call_s': round(warm[0], 3),
    }


def _five_digits(x: float) -> float:
    return float(f'{x:.5g}')


def variant(name: str) -> str:
    """The name of what is measured: with the number of devices and the options of XLA, if set."""
    devices = jax.device_count()
    parts = [name, f'{devices} devices' * (devices > 1), os.environ.get('XLA_FLAGS', '')]
    return ' '.join(part for part in parts if part)


def shared(batch: Any) -> Any:
    """A tree of arrays whose rows the devices of the process share; a key goes to each."""
    mesh = MeshShape().make()
    return jax.tree.map(
        lambda a: jax.device_put(a, rows(mesh) if a.ndim else replicated(mesh)), batch
    )


def training(
    loss: Callable[..., jax.Array],
    params: Any,
    optimizer: optax.GradientTransformation,
    batches: Iterator[tuple],
) -> tuple[Callable[[], None], list]:
    """A call that takes an optimizer's step and waits for the loss, and what it changes.

    Args:
        loss: (params, *batch) to the mean loss.
        params: where it starts.
        optimizer: of the parameters.
        batches: the rest of the arguments of `loss`, without end.

    Returns:
        The call, and the list of the parameters and the optimizer's state as they are now.
    """
    state = jax.tree.map(jnp.copy, [params, optimizer.init(params)])  # the caller keeps its own
    state = jax.device_put(state, replicated(MeshShape().make()))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(params: Any, moments: Any, *batch: Any) -> tuple[Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        changes, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, changes), moments, value

    def train() -> None:
        state[0], state[1], value = update(*state, *next(batches))
        value.block_until_ready()

    return train, state


class Given:
    """The data set of an experiment whose batches are given."""

    event_shape, num_classes = None, None

    def source(self, split: str) -> None:
        """Is not called."""


def stepping(
    model: Any, optimizer: optax.GradientTransformation, batch_size: int, batches: list[dict]
) -> Callable[[], None]:
    """A call that takes a train step, of all phases of the model, on one batch after another and
    waits for it.

    Args:
        model: what is trained.
        optimizer: of each phase.
        batch_size: rows of an update.
        batches: each of the rows of a step, on the device.
    """
    experiment = Experiment(
        dataset=Given(), model=model, optimizer=optimizer, steps=1, batch_size=batch_size
    )
    step = jax.jit(functools.partial(train_step, experiment), donate_argnums=0)
    state = [jax.jit(functools.partial(init_state, experiment))(batches[0])]
    data = itertools.cycle(batches)

    def train() -> None:
        state[0], metrics = step(state[0], next(data))
        jax.block_until_ready((state[0], metrics))

    return train
