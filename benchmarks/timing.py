"""How the benchmarks take a figure: warm-up calls, then blocks of calls, whose median counts."""

import statistics
import time
from collections.abc import Callable

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
