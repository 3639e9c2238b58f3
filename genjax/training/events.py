"""What happens at some steps of a run: validation, checkpoints, pictures."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from jax.sharding import Mesh

from genjax.errors import UserError
from genjax.parallel import distributed
from genjax.training import run as runs
from genjax.training.checkpoints import Checkpoints
from genjax.training.experiment import Experiment
from genjax.training.progress import Progress
from genjax.training.sampling import picture_kinds, write_pictures
from genjax.training.state import TrainState
from genjax.training.writers import MetricWriter, NoMetrics


class Events:
    """The events of one run in `workdir`."""

    def __init__(self, experiment: Experiment, workdir: Path, mesh: Mesh, checkpoints: Checkpoints):
        """Takes the run, the devices to judge it on, and where its states are kept."""
        self._experiment = experiment
        self._workdir = workdir
        self._mesh = mesh
        self._checkpoints = checkpoints
        self._over = False  # before its last step

    def ended(self, step: int) -> bool:
        """Whether the run ends with this step."""
        return self._over or step >= self._experiment.steps

    def due(self, step: int) -> set[str]:
        """What is to be done after this step."""
        experiment, last = self._experiment, self.ended(step)

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

    def left(self, step: int) -> set[str]:
        """What is still to be done after the step that the run goes on from: an earlier start may
        have ended in the middle of it. A member of a population may go on from a step that its own
        folder has no checkpoint of.
        """
        saved = any(at >= step for at in self._checkpoints.steps)

        def look() -> list[str]:
            done = ['checkpoint'] if saved else []
            if self._recorded(step):
                done.append('validation')
            kinds = picture_kinds(self._experiment)
            if all((self._workdir / kind / f'{step}.png').exists() for kind in kinds):
                done.append('pictures')
            return done

        self._over = self._is_over(step)
        return self.due(step) - set(distributed.on_first(look)) if step else set()

    def hold(
        self,
        due: set[str],
        step: int,
        state: TrainState,
        writer: MetricWriter | NoMetrics,
        progress: Progress,
        window: Mapping[str, tuple[float, int]],
    ) -> None:
        """Does what is `due` after this step; `window` is that of the metrics."""
        experiment = self._experiment
        figures = {}
        if 'validation' in due:
            all_figures = runs.judge(
                experiment, state.averaged, 'validation', self._mesh, experiment.validation
            )
            figures = {name: v for name, v in all_figures.items() if not isinstance(v, str)}
            writer.write(step, {f'validation/{name}': value for name, value in figures.items()})
            shown = '  '.join(f'{name} {value:.4g}' for name, value in figures.items())
            progress.say(f'step {step:,} validation  {shown}')
            self._over = self._is_over(step)
            due = due | self.due(step)
        elif 'checkpoint' in due and 'validation' in self.due(step):
            # An earlier start was killed between the record and the checkpoint.
            figures = distributed.on_first(lambda: self._recorded(step))
        if figures or 'checkpoint' in due:
            self._checkpoints.save(step, state, figures, window)
        if figures and experiment.best and experiment.best not in figures:
            raise UserError(f'config.best={experiment.best!r} is none of {", ".join(figures)}')
        if 'pictures' in due:
            written = write_pictures(experiment, state.averaged, self._workdir, step)
            for name, path in written.items():
                writer.picture(step, name, path)

    def outcome(self, step: int, state: TrainState) -> runs.Run:
        """The run, which has ended with this state: with its best, where the config names a
        figure.
        """
        self._checkpoints.wait()
        if self._checkpoints.best_step in (None, step):
            return runs.Run(self._workdir, self._experiment, step, state, self._mesh)
        return runs.load(self._workdir)

    def _is_over(self, step: int) -> bool:
        """Whether the best figure has not become better in the last `patience` validations."""
        patience = self._experiment.patience
        return patience is not None and distributed.on_first(
            lambda: self._validations_since_best(step) >= patience
        )

    def _validations_since_best(self, step: int) -> int:
        name = f'validation/{self._experiment.best}'
        sign = 1 if self._experiment.best_mode == 'min' else -1
        figures = [record.get(name) for at, record in self._validations() if at <= step]
        values = [math.inf if figure is None else sign * figure for figure in figures]
        return len(values) - 1 - values.index(min(values)) if values else 0

    def _recorded(self, step: int) -> dict[str, float]:
        """The figures of the validation at this step that are written down; empty without one."""
        return {
            name.removeprefix('validation/'): math.nan if value is None else value
            for at, record in self._validations()
            if at == step
            for name, value in record.items()
            if name.startswith('validation/')
        }

    def _validations(self) -> Iterator[tuple[int, dict[str, float | None]]]:
        """The records of validations in `metrics.jsonl`, with their steps."""
        with contextlib.suppress(OSError):
            for line in (self._workdir / 'metrics.jsonl').read_text(errors='replace').splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    record = json.loads(line)
                    if any(name.startswith('validation/') for name in record):
                        yield record['step'], record
