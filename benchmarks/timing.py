"""How the benchmarks train, and take a figure: warm-up calls, then blocks, whose median counts."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import optax

WARM_UP, MIN_BLOCKS = 3, 5


def measure(call: Callable[[], object], amount: int, seconds: float) -> dict[str, float]:
    """Rates a second of the median, slowest and fastest block; and the first call's seconds.

    Args:
        call: what to time; it waits for its own result.
        amount: what one call gets done, in the unit of the rate (samples, tokens).
        seconds: how long to go on, after the warm-up.
    """
    warm = []
    for _ in range(WARM_UP):
        start = time.perf_counter()
        call()
        warm.append(time.perf_counter() - start)
    block = max(1, int(seconds / 10 / max(warm[-1], 1e-9)))
    rates, end = [], time.perf_counter() + seconds
    while len(rates) < MIN_BLOCKS or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(block):
            call()
        rates.append(amount * block / (time.perf_counter() - start))
    return {
        'value': round(statistics.median(rates)),
        'min': round(min(rates)),
        'max': round(max(rates)),
        'reps': len(rates),
        'calls_per_rep': block,
        'first_call_s': round(warm[0], 3),
    }


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
    state = [params, optimizer.init(params)]

    @jax.jit
    def update(params: Any, moments: Any, *batch: Any) -> tuple[Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        changes, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, changes), moments, value

    def train() -> None:
        state[0], state[1], value = update(*state, *next(batches))
        value.block_until_ready()

    return train, state
