"""The training loop, the same for every family of models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from genjax.data.pipeline import train_batches
from genjax.data.sources import Source
from genjax.errors import Interrupted, UserError
from genjax.models.base import num_params
from genjax.training import run as runs
from genjax.training import sharding
from genjax.training.checkpoints import Checkpoints
from genjax.training.experiment import Experiment, experiment_of
from genjax.training.feed import feed
from genjax.training.interruption import Interruption
from genjax.training.metrics import MetricLog, mfu_per_rate
from genjax.training.programs import Programs, example_of
from genjax.training.progress import Progress
from genjax.training.sampling import write_pictures
from genjax.training.state import TrainState
from genjax.training.workdir import claim, locked
from genjax.training.writers import MetricWriter, wandb_module


def train(config: ConfigDict, workdir: Path) -> None:
    """Trains what a config describes, from the latest checkpoint in `workdir` or from the
    beginning.

    Raises:
        UserError: the config, the data, the folder or the numbers do not allow it.
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
    """
    with Interruption() as interruption:
        # What is wrong with the config or the data shows before the folder is made.
        experiment = experiment_of(config)
        if experiment.wandb:
            wandb_module()
        source = experiment.dataset.source('train')
        example = example_of(source)
        experiment.preprocess.check(experiment.dataset)
        programs = Programs.of(experiment, example)
        with locked(workdir):
            inputs = experiment.preprocess.provenance
            record = claim(workdir, config, example, source.fingerprint, inputs)
            with runs.open_checkpoints(experiment, workdir) as checkpoints:
                loop = Loop(experiment, workdir, source, programs, checkpoints, interruption)
                loop.train(record)
            _finish(workdir)


class Loop:
    """What one process does between the first and the last step of a run."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        source: Source,
        programs: Programs,
        checkpoints: Checkpoints,
        interruption: Interruption,
    ):
        self.experiment = experiment
        self.workdir = workdir
        self.source = source
        self.programs = programs
        self.checkpoints = checkpoints
        self.interruption = interruption
        self._profiling = False

    def train(self, record: Mapping[str, Any]) -> None:
        """Runs all remaining steps; `record` is the content of `config.json`."""
        experiment = self.experiment
        step, state = self._start()
        if step >= experiment.steps:
            print(f'{self.workdir} is complete: {step:,} of {experiment.steps:,} steps')
            return
        if step % experiment.steps_per_call:
            raise UserError(
                f'config.steps_per_call={experiment.steps_per_call} does not divide step {step},'
                f' from which the run in {self.workdir} goes on'
            )
        with (
            MetricWriter(self.workdir, step) as writer,
            Progress(step, experiment.steps) as progress,
            self.interruption.noted(),
        ):
            if experiment.wandb:
                name = f'{self.workdir.name}-{record["id"]}'
                writer.log_to_wandb(experiment.wandb, name, record['config'])
            mfu = mfu_per_rate(experiment, self.programs)
            log = MetricLog(experiment, writer, progress, mfu)
            progress.say(
                f'{num_params(state.variables):,} parameters, {self.programs.mesh.size} device(s),'
                f' from step {step:,} to {experiment.steps:,} in {self.workdir}'
            )
            batches = train_batches(
                self.source, batch_size=experiment.rows_per_step, seed=experiment.seed, start=step
            )
            placed = feed(batches, self.programs.batch_sharding, experiment.steps_per_call)
            while step < experiment.steps:
                self._profile(step, log)
                with log.waiting_for_data():
                    batch = next(placed)
                state, metrics = self.programs.step(state, batch)
                step += experiment.steps_per_call
                log.push(step, metrics)
                if self._is_event(step):
                    log.flush()
                    self._event(step, state, writer, progress)
            self._profile(step, log)

    def _start(self) -> tuple[int, TrainState]:
        restored = self.checkpoints.restore(self.programs.state)
        if restored is not None:
            return restored
        first = next(
            train_batches(
                self.source, batch_size=self.experiment.rows_per_step, seed=self.experiment.seed
            )
        )
        return 0, self.programs.init(sharding.place(first, sharding.rows(self.programs.mesh)))

    def _is_event(self, step: int) -> bool:
        experiment = self.experiment
        every = (experiment.validate_every, experiment.checkpoint_every, experiment.sample_every)
        last = step >= experiment.steps
        return bool(last or self.interruption.reason or any(n and step % n == 0 for n in every))

    def _event(
        self, step: int, state: TrainState, writer: MetricWriter, progress: Progress
    ) -> None:
        """Whatever is due after this step: validation, a checkpoint, pictures, or the end."""
        experiment = self.experiment
        last = step >= experiment.steps
        figures = {}
        if experiment.validate_every and (step % experiment.validate_every == 0 or last):
            all_figures = runs.judge(
                experiment, state.averaged, 'validation', self.programs.mesh, experiment.validation
            )
            figures = {name: v for name, v in all_figures.items() if not isinstance(v, str)}
            writer.write(step, {f'validation/{name}': value for name, value in figures.items()})
            shown = '  '.join(f'{name} {value:.4g}' for name, value in figures.items())
            progress.say(f'step {step:,} validation  {shown}')
        every = experiment.checkpoint_every
        if figures or last or self.interruption.reason or (every and step % every == 0):
            self.checkpoints.save(step, state, figures)
        if figures and experiment.best and experiment.best not in figures:
            raise UserError(f'config.best={experiment.best!r} is none of {", ".join(figures)}')
        if last or (experiment.sample_every and step % experiment.sample_every == 0):
            written = write_pictures(experiment, state.averaged, self.workdir, step)
            for name, path in written.items():
                writer.picture(step, name, path)
        if self.interruption.reason:
            self.checkpoints.wait()
            raise Interrupted(
                f'{self.interruption.reason}: saved step {step:,} of {experiment.steps:,} in'
                f' {self.workdir}; the same command goes on from there'
            )

    def _profile(self, step: int, log: MetricLog) -> None:
        """Starts or stops the profiler when this is the step to do so."""
        first, last = self.experiment.profile or (0, 0)
        inside = first <= step < min(last, self.experiment.steps)
        if inside == self._profiling:
            return
        log.flush()  # waits for the device, so that no part of another step is in the profile
        self._profiling = inside
        if inside:
            jax.profiler.start_trace(str(self.workdir / 'tensorboard'))
        else:
            jax.profiler.stop_trace()


def _finish(workdir: Path) -> None:
    """Judges the finished run on its test split, once, and shows the figures."""
    run = runs.load(workdir)
    figures = runs.tested(run)
    if figures is None:
        figures = runs.test(run)
    line = '  '.join(
        f'{k} {v if isinstance(v, str) else format(v, ".5g")}' for k, v in figures.items()
    )
    print(f'{workdir} step {run.step:,} test  {line or "(the config names no figures)"}')
