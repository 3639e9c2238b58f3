"""The training loop, shared by all families of models."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from genjax.data.pipeline import Batch, train_batches
from genjax.data.sources import Source
from genjax.errors import Interrupted, UserError
from genjax.files import is_remote
from genjax.models.base import num_params
from genjax.parallel import distributed, sharding
from genjax.parallel.preemption import Preemption, Stop
from genjax.records import shares
from genjax.schedules import at_step
from genjax.training import branch as branches
from genjax.training import loading as runs
from genjax.training import start as starts
from genjax.training.branch import Origin
from genjax.training.checkpoints import Checkpoints, steps_in
from genjax.training.data_check import check_data
from genjax.training.dispatch import steps_per_call
from genjax.training.events import Events
from genjax.training.experiment import Experiment, experiment_of
from genjax.training.learning_rate import LearningRates
from genjax.training.metrics import MetricLog, mfu_per_rate
from genjax.training.prefetch import feed
from genjax.training.programs import Programs, example_of
from genjax.training.progress import Progress
from genjax.training.results import cached_results, finish
from genjax.training.state import TrainState
from genjax.training.timesheet import Timesheet
from genjax.training.workdir import begin, claim, locked, resumed
from genjax.training.writers import MetricWriter, NoMetrics, wandb_module


def train(
    config: ConfigDict,
    workdir: Path,
    interruption: Preemption | None = None,
    branch_from: str | None = None,
    began: float | None = None,
) -> None:
    """Trains a model, from the latest checkpoint in `workdir` or from scratch.

    Args:
        config: config of the run.
        workdir: run folder, shared by all processes.
        interruption: handler of Ctrl-C and SIGTERM; None: they are not handled.
        branch_from: another run, `RUN` or `RUN@STEP`, whose state initialises a new one.
        began: `time.time()` when this process's work on the run began; None: now.

    Raises:
        UserError: the config, the data or the folder is invalid, or training diverged.
        Interrupted: on Ctrl-C or SIGTERM, after the state has been saved.
    """
    began = time.time() if began is None else began
    # Errors in the config or the data are raised before the folder is created.
    config = resumed(workdir, config)
    experiment = experiment_of(config)
    if experiment.profile and is_remote(workdir):
        raise UserError(f'config.profile needs a --workdir of this machine, not {workdir}')
    origin = None if branch_from is None else Origin.parse(branch_from)
    if experiment.wandb and distributed.is_first():
        wandb_module()
    source = distributed.first_before_others(lambda: experiment.dataset.source('train'))
    check_data(experiment, source)
    example = example_of(source)
    programs = Programs.of(experiment, example)
    attention = programs.check(experiment)
    if attention and distributed.is_first():
        print(f'attention: {", ".join(attention)}')
    done = distributed.on_first(lambda: list(steps_in(workdir / 'checkpoints')))
    calls = steps_per_call(experiment, programs, [1] if branch_from else done)
    if calls != experiment.calls:
        experiment = dataclasses.replace(experiment, steps_per_call=calls)
        programs = Programs.of(experiment, example)
    started = (
        ({}, [])
        if done
        else starts.read(experiment.start, at_step(experiment.model, 0), programs.state.variables)
    )
    with contextlib.ExitStack() as held:

        def hold() -> dict[str, Any]:
            held.enter_context(locked(workdir))
            inputs = experiment.preprocess.provenance
            return claim(workdir, config, example, source, inputs)

        record = distributed.on_first(hold)
        if record['data'] != source.fingerprint:
            raise UserError('the training data here are not those that process 0 has')
        with runs.open_checkpoints(experiment, workdir) as checkpoints:
            timesheet = Timesheet(workdir if distributed.is_first() else None, began)
            interruption = interruption or Preemption()
            Loop(experiment, workdir, source, programs, checkpoints, interruption, timesheet).train(
                record, origin, *started
            )


class Loop:
    """Work of one process between the first and the last step of a run."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        source: Source,
        programs: Programs,
        checkpoints: Checkpoints,
        interruption: Preemption,
        timesheet: Timesheet,
    ):
        self.experiment = experiment
        self.workdir = workdir
        self.source = source
        self.programs = programs
        self.checkpoints = checkpoints
        self.events = Events(experiment, workdir, programs.mesh, checkpoints, timesheet)
        self.interruption = interruption
        self.timesheet = timesheet
        self._profiling = False

    def train(
        self,
        record: dict[str, Any],
        origin: Origin | None,
        arrays: Mapping[str, np.ndarray],
        sources: list[dict[str, Any]],
    ) -> None:
        """Runs all remaining steps and the final evals.

        Args:
            record: content of `config.json`.
            origin: checkpoint from which a new run branches.
            arrays: initial values of a new run, by name.
            sources: records of where they are from.
        """
        step, state, begun = self._start(record, origin, arrays, sources)
        self._check_step(step)
        distributed.on_first(lambda: begin(self.workdir, record))
        self.timesheet.write(step, now=True)
        due = self.events.left(step)
        if begun and step:  # the branch is now independent of the other run
            due = due | {'checkpoint'}
        elif begun and self.events.ended(step):  # a run without steps
            due = self.events.due(step)
        if due or not self.events.ended(step):
            with self._writer(record, step) as writer:
                rates = LearningRates(record['config'], self.experiment, step)
                step, state = self._train(writer, step, state, due, rates)
                with self.timesheet.used_for('evaluation'):
                    finish(self.events.outcome(step, state), writer)
            self._account(step)
            return
        if distributed.is_first():
            print(f'{self.workdir} is complete: {step:,} of {self.experiment.steps:,} steps')
        run = self.events.outcome(step, state)
        missing = distributed.on_first(lambda: cached_results(run) is None)
        with self._writer(record, step) if missing else NoMetrics() as writer:
            finish(run, writer)

    def _account(self, step: int) -> None:
        """Keeps what the run's time was used for, and prints it."""
        self.timesheet.write(step, now=True)
        if distributed.is_first():
            print(shares(self.timesheet.seconds))

    @contextlib.contextmanager
    def _writer(self, record: Mapping[str, Any], step: int) -> Iterator[MetricWriter | NoMetrics]:
        with MetricWriter(self.workdir, step) if distributed.is_first() else NoMetrics() as writer:
            writer.log_config(record['config'])
            if self.experiment.wandb:
                writer.log_to_wandb(self.experiment.wandb, record['id'], record['config'])
            yield writer

    def _train(
        self,
        writer: MetricWriter | NoMetrics,
        step: int,
        state: TrainState,
        due: set[str],
        rates: LearningRates,
    ) -> tuple[int, TrainState]:
        """Runs the events `due` at `step`, and then all remaining steps; returns the last."""
        experiment, first = self.experiment, distributed.is_first()
        with Progress(step, experiment.steps, quiet=not first) as progress:
            mfu = mfu_per_rate(experiment, self.programs)
            window = self.checkpoints.window(step)
            log = MetricLog(experiment, writer, progress, window, mfu, rates, self.timesheet)
            processes = f' of {jax.process_count()} processes' if jax.process_count() > 1 else ''
            progress.say(
                f'{num_params(state.variables):,} parameters, {self.programs.mesh.size} device(s)'
                f'{processes}, from step {step:,} to {experiment.steps:,} in {self.workdir}'
            )
            layout, calls = self.programs.batch_sharding, experiment.calls
            batches = feed(self._batches(step), layout, calls)
            try:
                self.events.hold(due, step, state, writer, progress, log.window)
                progress.busy('compiling the step')
                self.timesheet.switch('compile')
                while not self.events.ended(step):
                    self._profile(step, log)
                    with log.waiting_for_data():
                        batch = next(batches)
                    state, metrics = self.programs.step(state, batch)
                    step += experiment.calls
                    self.timesheet.step(step)
                    log.push(step, metrics)
                    self.interruption.sync_point()
                    if due := self.events.due(step):
                        log.flush()
                        if self.events.ended(step):
                            log.show_rest(step)
                        self.events.hold(due, step, state, writer, progress, log.window)
                self._profile(step, log)
                with self.timesheet.used_for('checkpoint'):
                    self.checkpoints.wait()
                self.interruption.saved()
                return step, state
            except Stop:
                log.flush()
                with self.timesheet.used_for('checkpoint'):
                    self.checkpoints.save(step, state, window=log.window)
                    self.checkpoints.wait()
                self._account(step)
                raise Interrupted(
                    f'{self.interruption.reason}: saved step {step:,} of {experiment.steps:,} in'
                    f' {self.workdir}; the same command resumes from there'
                ) from None

    def _check_step(self, step: int) -> None:
        """Refuses a config that cannot resume from the restored step."""
        steps, calls = self.experiment.steps, self.experiment.calls
        if steps < step:
            raise UserError(
                f'config.steps={steps}, but the run in {self.workdir} has done {step} steps; choose'
                ' another --workdir, or at least as many steps'
            )
        if step < steps and step % calls:
            raise UserError(
                f'config.steps_per_call={calls} does not divide step {step},'
                f' from which the run in {self.workdir} resumes'
            )

    def _start(
        self,
        record: dict[str, Any],
        origin: Origin | None,
        arrays: Mapping[str, np.ndarray],
        sources: list[dict[str, Any]],
    ) -> tuple[int, TrainState, bool]:
        """Returns the step and the state to start from, and whether the run begins there."""
        branch = record['branch']
        restored = self.checkpoints.restore(self.programs.state)
        if restored is not None:
            if origin and branch.get('run') != str(origin.run.absolute()):
                raise UserError(
                    f'--branch_from={origin.run}: the run in {self.workdir} has begun already, with'
                    f' {branch.get("run", "no other run")}; choose another --workdir'
                )
            params = self.programs.state.variables['params']
            starts.check(self.experiment.start, self.experiment.model, params, record['start'])
            return *restored, False
        batch = sharding.place(next(self._batches(0)), sharding.rows(self.programs.mesh))
        with self.timesheet.used_for('compile'):
            state = self.programs.init(batch, starts.placed(arrays, self.programs.state.variables))
        record['start'] = sources
        if origin := origin or Origin.recorded(branch):
            seed, ema = self.experiment.seed, self.experiment.ema
            state, record['branch'] = branches.branch(origin, self.programs, state, seed, ema)
            done, steps = record['branch']['step'], self.experiment.steps
            if done >= steps:
                raise UserError(
                    f'config.steps={steps}, but the run it branches from has done {done} steps:'
                    f' give more, or --branch_from={origin.run}@STEP'
                )
            if distributed.is_first():
                print(branches.line(record['branch']))
        return record['branch'].get('step', 0), state, True

    def _batches(self, step: int) -> Iterator[Batch]:
        """This process's rows of the batches from `step` on."""
        experiment, size = self.experiment, self.experiment.rows_per_step
        rows = distributed.local_rows(sharding.rows(self.programs.mesh), size)
        return train_batches(
            self.source, batch_size=size, seed=experiment.seed, start=step, rows=rows
        )

    def _profile(self, step: int, log: MetricLog) -> None:
        """Starts or stops the profiler at its first and last step."""
        first, last = self.experiment.profile or (0, 0)
        inside = first <= step < min(last, self.experiment.steps)
        if inside == self._profiling or not distributed.is_first():
            return
        log.flush()  # waits for the device, so that the profile has whole steps only
        self._profiling = inside
        if inside:
            jax.profiler.start_trace(str(self.workdir / 'tensorboard'))
        else:
            jax.profiler.stop_trace()
