"""Collects step metrics asynchronously (fetched one call late), checks, averages and logs them."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.hardware.chips import chip_of
from genjax.hardware.flops import flops_of_jaxpr
from genjax.schedules import at_step
from genjax.training.experiment import Experiment
from genjax.training.programs import Programs
from genjax.training.progress import Progress
from genjax.training.timesheet import Timesheet
from genjax.training.writers import MetricWriter

_SKIPPED = 10  # fewest steps without an update that end a run
MUST_BE_FINITE = ('loss', 'grad_norm')  # metrics of each phase; errors name the first


class Means:
    """Means of metrics over the steps since the last record, one record every `log_every` steps.

    Attributes:
        window: sum and count, since the last record, of each metric.
        skipped: updates skipped under `nonfinite='skip'`, in this process.
    """

    def __init__(self, experiment: Experiment, window: Mapping[str, tuple[float, int]]):
        """`window`: that saved by an earlier process at this step."""
        self._experiment = experiment
        self._phases = at_step(experiment.model, 0).phases
        self._in_a_row = dict.fromkeys((phase.name for phase in self._phases), 0)
        self.window = dict(window)
        self.skipped = 0

    def add(self, step: int, metrics: Mapping[str, np.ndarray]) -> dict[str, float] | None:
        """Adds the metrics [steps] of the call that ended at `step`; returns the means of the
        finite values if a record is due.

        Raises:
            UserError: a loss or gradient was not finite under `nonfinite='stop'`; or, under 'skip',
                all updates of a phase were skipped for `log_every` steps (at least 10, at most all
                of the run).
        """
        if self._experiment.nonfinite == 'stop':
            _check_finite(metrics, step)
        else:
            self._count_skipped(metrics, step)
        for name, values in metrics.items():
            total, count = self.window.get(name, (0.0, 0))
            for value in values[np.isfinite(values)].tolist():
                total, count = total + value, count + 1
            self.window[name] = total, count
        every = self._experiment.log_every
        if step // every == (step - self._experiment.calls) // every:
            return None
        means = self.so_far()
        self.window.clear()
        return means

    def so_far(self) -> dict[str, float]:
        """Means since the last record."""
        return {name: t / n if n else math.nan for name, (t, n) in self.window.items()}

    def _count_skipped(self, metrics: Mapping[str, np.ndarray], last: int) -> None:
        most = min(max(self._experiment.log_every, _SKIPPED), self._experiment.steps)
        for phase in self._phases:
            for share in metrics[f'{phase.name}/skipped']:
                self.skipped += round(share * phase.repeats)
                self._in_a_row[phase.name] = self._in_a_row[phase.name] + 1 if share == 1 else 0
            if self._in_a_row[phase.name] >= most:
                raise UserError(
                    f'step {last}: all updates of phase {phase.name!r} in {most} steps were'
                    ' skipped: its loss, its gradient or what the update makes of them is not'
                    ' finite. Try a smaller learning rate or config.clip_norm'
                )


class MetricLog:
    """Collects the metrics of every call of the step program and writes their means every
    `log_every` steps.

    A call's metrics are fetched after the next call has been dispatched, so that the device never
    waits for the host. Also logged: 'steps_per_second'; 'data_wait', the fraction of time that the
    device was idle waiting for batches (0: data keep up; near 1: data are the bottleneck);
    'goodput', the share of the run's time so far that was used for steps; and, for chips with known
    peak performance, 'mfu', the model FLOPs utilisation (Chowdhery et al., PaLM, 2022, appendix B:
    without rematerialisation). `rates` gives the learning rates of a step.
    """

    def __init__(
        self,
        experiment: Experiment,
        writer: MetricWriter,
        progress: Progress,
        window: Mapping[str, tuple[float, int]],
        mfu_per_rate: float | None = None,
        rates: Callable[[int], Mapping[str, float]] = lambda _: {},
        timesheet: Timesheet | None = None,
    ):
        self._timesheet = timesheet or Timesheet(None, time.time())
        self._rates = rates
        self._mfu_per_rate = mfu_per_rate
        self._writer = writer
        self._progress = progress
        self._pending: tuple[int, Mapping[str, Array]] | None = None
        self._means = Means(experiment, window)
        self._restart()

    @property
    def window(self) -> Mapping[str, tuple[float, int]]:
        """Sums of metrics not recorded yet, up to the last `flush`, for its checkpoint."""
        return dict(self._means.window)

    def waiting_for_data(self) -> contextlib.AbstractContextManager:
        """Counts the time inside as waiting for data if the device is idle at its end."""
        return self._timesheet.waiting_for_data(self._pending[1] if self._pending else {})

    def push(self, step: int, metrics: Mapping[str, Array]) -> None:
        """Queues the metrics of the call that ended at `step`, and records those of the call
        before.

        Raises:
            UserError: like `Means.add`, for the call before.
        """
        before, self._pending = self._pending, (step, metrics)
        if before is None:  # it compiled, or followed an evaluation: not part of the rate
            self._progress.restart_clock(step)
            self._restart()
        self._record(before)

    def flush(self) -> None:
        """Waits for the last call and records its metrics; raises like `push`."""
        before, self._pending = self._pending, None
        self._record(before)
        self._writer.flush()

    def show_rest(self, step: int) -> None:
        """Shows the means since the last record, which an ending run does not write."""
        if means := self._means.so_far():
            self._progress.update(step, means, self._means.skipped)

    def _record(self, call: tuple[int, Mapping[str, Array]] | None) -> None:
        if call is None:
            return
        step, metrics = call[0], jax.device_get(call[1])
        metrics = {name: np.atleast_1d(values) for name, values in metrics.items()}
        means = self._means.add(step, metrics)
        if means is not None:
            self._write(step, means)

    def _write(self, step: int, means: Mapping[str, float]) -> None:
        rate = self._progress.update(step, means, self._means.skipped)
        waited = self._timesheet.seconds.get('data', 0.0) - self._waited
        share = waited / max(time.perf_counter() - self._since, 1e-9)
        speed = {'steps_per_second': rate, 'data_wait': share}
        speed['goodput'] = self._timesheet.goodput
        self._timesheet.write(step)
        if self._mfu_per_rate is not None:
            speed['mfu'] = rate * self._mfu_per_rate
        self._writer.write(step, {**means, **self._rates(step), **speed})
        self._restart()

    def _restart(self) -> None:
        """Begins what the next record's share of waiting for data is of."""
        self._waited, self._since = self._timesheet.seconds.get('data', 0.0), time.perf_counter()


def mfu_per_rate(experiment: Experiment, programs: Programs) -> float | None:
    """MFU per step a second; None for chips of unknown peak performance.

    Traces the step program; its first call reuses the trace.
    """
    chip = chip_of(programs.mesh.devices.flat[0].device_kind)
    if chip is None:
        return None
    traced = programs.step.trace(programs.state, programs.batch)
    flops = flops_of_jaxpr(traced.jaxpr).model / experiment.calls
    return flops / (programs.mesh.size * chip.flops)


def _check_finite(metrics: Mapping[str, np.ndarray], last: int) -> None:
    """Raises UserError for the first step of a call, which ended at step `last`, with a non-finite
    number.
    """
    bad = [
        (last - len(values) + 1 + i, MUST_BE_FINITE.index(metric), phase, metric, value)
        for phase, _, metric, values in ((*name.partition('/'), v) for name, v in metrics.items())
        if metric in MUST_BE_FINITE
        for i, value in enumerate(values)
        if not math.isfinite(value)
    ]
    if bad:
        step, _, phase, metric, value = min(bad)
        raise UserError(
            f'step {step}: the {metric} of phase {phase!r} is {value}; checkpoints from before'
            ' are kept. Try a smaller learning rate, config.clip_norm, or --config.nonfinite=skip'
        )
