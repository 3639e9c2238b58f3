"""The training loop, the same for every family of models."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from genjax.data.pipeline import Batch, train_batches
from genjax.data.sources import Source
from genjax.errors import Interrupted, UserError
from genjax.interruption import Interruption, Stop
from genjax.models.base import num_params
from genjax.training import distributed, sharding
from genjax.training import run as runs
from genjax.training.checkpoints import Checkpoints
from genjax.training.experiment import Experiment, experiment_of
from genjax.training.feed import feed
from genjax.training.metrics import MetricLog, mfu_per_rate
from genjax.training.programs import Programs, example_of
from genjax.training.progress import Progress
from genjax.training.sampling import picture_kinds, write_pictures
from genjax.training.state import TrainState
from genjax.training.workdir import claim, locked
from genjax.training.writers import MetricWriter, NoMetrics, wandb_module


def train(config: ConfigDict, workdir: Path, interruption: Interruption | None = None) -> None:
    """Trains what a config describes, from the latest checkpoint in `workdir` or from the
    beginning.

    Args:
        config: of the run.
        workdir: where it is kept; the same folder for all processes.
        interruption: tells of Ctrl-C and SIGTERM; None: they are left alone.

    Raises:
        UserError: the config, the data, the folder or the numbers do not allow it.
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
    """
    # What is wrong with the config or the data shows before the folder is made.
    experiment = experiment_of(config)
    if experiment.wandb and distributed.is_first():
        wandb_module()
    source = distributed.first_before_others(lambda: experiment.dataset.source('train'))
    example = example_of(source)
    experiment.preprocess.check(experiment.dataset)
    programs = Programs.of(experiment, example)
    with contextlib.ExitStack() as held:

        def begin() -> dict[str, Any]:
            held.enter_context(locked(workdir))
            inputs = experiment.preprocess.provenance
            return claim(workdir, config, example, source.fingerprint, inputs)

        record = distributed.on_first(begin)
        if record['data'] != source.fingerprint:
            raise UserError('the training data here are not those that process 0 has')
        with runs.open_checkpoints(experiment, workdir) as checkpoints:
            Loop(
                experiment, workdir, source, programs, checkpoints, interruption or Interruption()
            ).train(record)
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
        due = self._due(step) - self._done(step) if step else set()
        if step < experiment.steps or due:
            self._train(record, step, state, due)
        elif distributed.is_first():
            print(f'{self.workdir} is complete: {step:,} of {experiment.steps:,} steps')

    def _train(
        self, record: Mapping[str, Any], step: int, state: TrainState, due: set[str]
    ) -> None:
        """Does what is `due` at `step`, and then all remaining steps."""
        experiment, first = self.experiment, distributed.is_first()
        if step % experiment.steps_per_call:
            raise UserError(
                f'config.steps_per_call={experiment.steps_per_call} does not divide step {step},'
                f' from which the run in {self.workdir} goes on'
            )
        with (
            MetricWriter(self.workdir, step) if first else NoMetrics() as writer,
            Progress(step, experiment.steps, quiet=not first) as progress,
        ):
            if experiment.wandb:
                name = f'{self.workdir.name}-{record["id"]}'
                writer.log_to_wandb(experiment.wandb, name, record['config'])
            mfu = mfu_per_rate(experiment, self.programs)
            log = MetricLog(experiment, writer, progress, mfu)
            processes = f' of {jax.process_count()} processes' if jax.process_count() > 1 else ''
            progress.say(
                f'{num_params(state.variables):,} parameters, {self.programs.mesh.size} device(s)'
                f'{processes}, from step {step:,} to {experiment.steps:,} in {self.workdir}'
            )
            layout, calls = self.programs.batch_sharding, experiment.steps_per_call
            batches = feed(self._batches(step), layout, calls)
            try:
                self._event(due, step, state, writer, progress)
                while step < experiment.steps:
                    self._profile(step, log)
                    with log.waiting_for_data():
                        batch = next(batches)
                    state, metrics = self.programs.step(state, batch)
                    step += experiment.steps_per_call
                    log.push(step, metrics)
                    self.interruption.point()
                    if due := self._due(step):
                        log.flush()
                        self._event(due, step, state, writer, progress)
                self._profile(step, log)
                self.checkpoints.wait()
                self.interruption.done()
            except Stop:
                log.flush()
                self.checkpoints.save(step, state)
                self.checkpoints.wait()
                raise Interrupted(
                    f'{self.interruption.reason}: saved step {step:,} of {experiment.steps:,} in'
                    f' {self.workdir}; the same command goes on from there'
                ) from None

    def _start(self) -> tuple[int, TrainState]:
        restored = self.checkpoints.restore(self.programs.state)
        if restored is not None:
            return restored
        first = next(self._batches(0))
        return 0, self.programs.init(sharding.place(first, sharding.rows(self.programs.mesh)))

    def _batches(self, step: int) -> Iterator[Batch]:
        """This process's rows of the batches from `step` on."""
        experiment, size = self.experiment, self.experiment.rows_per_step
        rows = distributed.local_rows(sharding.rows(self.programs.mesh), size)
        return train_batches(
            self.source, batch_size=size, seed=experiment.seed, start=step, rows=rows
        )

    def _due(self, step: int) -> set[str]:
        """What is to be done after this step."""
        experiment = self.experiment
        last = step >= experiment.steps

        def is_time(every: int) -> bool:
            return bool(every) and step % every == 0

        due = set()
        every = experiment.validate_every
        if experiment.validation and every and (last or is_time(every)):
            due |= {'validation', 'checkpoint'}
        if last or is_time(experiment.checkpoint_every):
            due.add('checkpoint')
        if (last or is_time(experiment.sample_every)) and picture_kinds(experiment):
            due.add('pictures')
        return due

    def _done(self, step: int) -> set[str]:
        """What is done already after the step that the run goes on from: an earlier start may have
        ended in the middle of it.
        """

        def look() -> list[str]:
            done = ['checkpoint']
            with contextlib.suppress(OSError):
                lines = (self.workdir / 'metrics.jsonl').read_text(errors='replace').splitlines()
                if any(_is_validation(line, step) for line in lines):
                    done.append('validation')
            kinds = picture_kinds(self.experiment)
            if all((self.workdir / kind / f'{step}.png').exists() for kind in kinds):
                done.append('pictures')
            return done

        return set(distributed.on_first(look))

    def _event(
        self,
        due: set[str],
        step: int,
        state: TrainState,
        writer: MetricWriter | NoMetrics,
        progress: Progress,
    ) -> None:
        """What is due after this step: validation, a checkpoint, pictures."""
        experiment = self.experiment
        figures = {}
        if 'validation' in due:
            all_figures = runs.judge(
                experiment, state.averaged, 'validation', self.programs.mesh, experiment.validation
            )
            figures = {name: v for name, v in all_figures.items() if not isinstance(v, str)}
            writer.write(step, {f'validation/{name}': value for name, value in figures.items()})
            shown = '  '.join(f'{name} {value:.4g}' for name, value in figures.items())
            progress.say(f'step {step:,} validation  {shown}')
        if figures or 'checkpoint' in due:
            self.checkpoints.save(step, state, figures)
        if figures and experiment.best and experiment.best not in figures:
            raise UserError(f'config.best={experiment.best!r} is none of {", ".join(figures)}')
        if 'pictures' in due:
            written = write_pictures(experiment, state.averaged, self.workdir, step)
            for name, path in written.items():
                writer.picture(step, name, path)

    def _profile(self, step: int, log: MetricLog) -> None:
        """Starts or stops the profiler when this is the step to do so."""
        first, last = self.experiment.profile or (0, 0)
        inside = first <= step < min(last, self.experiment.steps)
        if inside == self._profiling or not distributed.is_first():
            return
        log.flush()  # waits for the device, so that no part of another step is in the profile
        self._profiling = inside
        if inside:
            jax.profiler.start_trace(str(self.workdir / 'tensorboard'))
        else:
            jax.profiler.stop_trace()


def _is_validation(line: str, step: int) -> bool:
    """Whether a line of `metrics.jsonl` has the figures of a validation after this step."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        record = json.loads(line)
        return record['step'] == step and any(name.startswith('validation/') for name in record)
    return False


def _finish(workdir: Path) -> None:
    """Judges the finished run on its test split, once, and shows the figures."""
    run = runs.load(workdir)
    figures = distributed.on_first(lambda: runs.tested(run))
    if figures is None:
        figures = runs.test(run)
    line = '  '.join(
        f'{k} {v if isinstance(v, str) else format(v, ".5g")}' for k, v in figures.items()
    )
    if distributed.is_first():
        print(f'{workdir} step {run.step:,} test  {line or "(the config names no figures)"}')
