"""Accounts for every second of a run, in all its processes and between them."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from jax import Array

from genjax import records
from genjax.files import is_remote, write_json

Use = Literal['start', 'compile', 'data', 'step', 'evaluation', 'checkpoint', 'idle']
_EVERY = 1.0  # seconds between writes of the file
_EVERY_REMOTE = 10.0  # in a bucket, where they are slow


class Timesheet:
    """Seconds of a run by their use, from its first start on, kept in `timesheet.json`.

    - 'start': imports, reading the data, restoring the state; and steps that an earlier process had
      done and lost;
    - 'compile': tracing and compiling the step and the initial state;
    - 'data': the devices wait for a batch;
    - 'step': training;
    - 'evaluation', with images; 'checkpoint', as far as the run waits for it;
    - 'idle': no process, and at most a second (in a store: ten) before the end of one
      that was killed.

    Each moment has one use, so that they sum to the time that has passed.
    """

    def __init__(self, workdir: Path | None, began: float):
        """Goes on from earlier processes of the run.

        Args:
            workdir: folder of the run; None: nothing is kept.
            began: `time.time()` at the start of this process's work.
        """
        self._path = None if workdir is None else workdir / records.TIMESHEET
        self._every = _EVERY_REMOTE if is_remote(workdir) else _EVERY
        self._use: Use = 'start'
        self._since, self._written = time.monotonic(), 0.0
        before = {} if workdir is None else records.timesheet(workdir)
        self.seconds: dict[str, float] = dict(before.get('seconds', {}))
        self._done = self._lost = before.get('step', 0)
        self._add('start', time.time() - began)
        if before:
            self._add('idle', began - before['until'])

    @contextlib.contextmanager
    def used_for(self, use: Use) -> Iterator[None]:
        """Accounts the time inside to a use, and what follows to that from before."""
        before = self._use
        self.switch(use)
        try:
            yield
        finally:
            self.switch(before)

    def switch(self, use: Use) -> None:
        """Accounts the time until now to the use so far, and from now on to this one."""
        now = time.monotonic()
        self._add(self._use, now - self._since)
        self._use, self._since = use, now

    def step(self, number: int) -> None:
        """Accounts what follows to the step with this number, or to a start if it is done again."""
        self.switch('step' if number > self._lost else 'start')

    def move(self, seconds: float, use: Use) -> None:
        """Accounts the last seconds to another use than the one they had."""
        self._add(self._use, -seconds)
        self._add(use, seconds)

    @contextlib.contextmanager
    def waiting_for_data(self, pending: Mapping[str, Array]) -> Iterator[None]:
        """Accounts the time inside to 'data' if the devices are idle at its end: if the `pending`
        results of the call before are there by then, or there are none.
        """
        start = time.monotonic()
        yield
        if all(value.is_ready() for value in pending.values()):
            self.move(time.monotonic() - start, 'data')

    @property
    def goodput(self) -> float:
        """Share of the run's time that was used for steps."""
        self.switch(self._use)
        return self.seconds.get('step', 0.0) / max(sum(self.seconds.values()), 1e-9)

    def write(self, step: int, now: bool = False) -> None:
        """Keeps what is accounted up to `step`, at most once a second unless `now`."""
        self._done = max(self._done, step)
        if self._path is None or (time.monotonic() - self._written < self._every and not now):
            return
        self.switch(self._use)
        self._written = self._since
        self._write(self._path, self.seconds)

    def divide(self, workdirs: Sequence[Path]) -> None:
        """Keeps an equal share of the seconds for each of the runs that one program trains."""
        seconds = {use: value / len(workdirs) for use, value in self.seconds.items()}
        for workdir in workdirs:
            self._write(workdir / records.TIMESHEET, seconds)

    def _write(self, path: Path, seconds: Mapping[str, float]) -> None:
        write_json(path, {'step': self._done, 'until': time.time(), 'seconds': seconds})

    def _add(self, use: str, seconds: float) -> None:
        self.seconds[use] = self.seconds.get(use, 0.0) + seconds
