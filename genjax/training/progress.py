"""Progress output of a run: a progress line, and a line per event."""

import math
import time
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.text import Text

_SHOWN = 4  # metrics on the line; all of them are in metrics.jsonl


class Progress:
    """Progress line with step, speed and remaining time.

    On a terminal the line is updated in place; elsewhere each update is a new line. If `quiet`,
    nothing is printed.
    """

    def __init__(self, start: int, steps: int, quiet: bool = False):
        self._console = Console(highlight=False, soft_wrap=True, quiet=quiet)
        self._steps = steps
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._step, self._time = start, time.perf_counter()

    def __enter__(self) -> 'Progress':
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def restart_clock(self, step: int) -> None:
        """Excludes the time so far (compilation, evaluation) from the next rate."""
        self._step, self._time = step, time.perf_counter()

    def update(self, step: int, metrics: Mapping[str, float], skipped: int = 0) -> float:
        """Shows the step, its metrics, and the number of skipped updates, if any.

        Returns:
            Steps per second since the last update or `restart_clock`; NaN just after the latter.
        """
        now = time.perf_counter()
        done = step - self._step
        rate = done / max(now - self._time, 1e-9) if done else math.nan
        self._step, self._time = step, now
        eta = _duration((self._steps - step) / rate) if rate > 0 else '?'
        # Losses first: with several phases they matter most.
        names = sorted(metrics, key=lambda name: not name.endswith('/loss'))[:_SHOWN]
        text = '  '.join(
            [
                f'step {step:,}/{self._steps:,} ({100 * step // self._steps}%)',
                f'{rate:,.4g} steps/s' if done else '? steps/s',
                f'eta {eta}',
                *([f'skipped {skipped:,}'] if skipped else []),
                *(f'{name} {metrics[name]:.4g}' for name in names),
            ]
        )
        if self._console.is_terminal:
            self._live.update(Text(text, overflow='ellipsis', no_wrap=True), refresh=True)
        else:
            self._console.print(text, markup=False)
        return rate

    def busy(self, message: str) -> None:
        """Shows a message until the next update."""
        if self._console.is_terminal:
            self._live.update(Text(message), refresh=True)
        else:
            self._console.print(message, markup=False)

    def say(self, message: str) -> None:
        """Prints a permanent line."""
        self._console.print(message, markup=False)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
