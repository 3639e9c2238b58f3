"""Events at the steps of a run: evaluations, checkpoints, images."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from jax.sharding import Mesh

from genjax import records
from genjax.errors import UserError
from genjax.evaluation.results import evaluate, numbers
from genjax.parallel import distributed
from genjax.training import loading as runs
from genjax.training.checkpoints import Checkpoints
from genjax.training.experiment import Experiment
from genjax.training.images import image_kinds, write_images
from genjax.training.progress import Progress
from genjax.training.run import Run
from genjax.training.state import TrainState
from genjax.training.timesheet import Timesheet
from genjax.training.writers import MetricWriter, NoMetrics


def out_of_patience(
    experiment: Experiment, results: Iterable[tuple[int, Mapping[str, float]]], step: int
) -> bool:
    """Returns whether the best result has not improved in the last `patience` evaluations up to
    this step; `results` are by step, in order.
    """
    if experiment.patience is None:
        return False
    sign, values = 1 if experiment.best_mode == 'min' else -1, []
    for at, record in results:
        name = records.best_result(record, experiment.best)
        if at <= step and name in record:
            value = record[name]
            values.append(math.inf if value is None else sign * value)
    return bool(values) and len(values) - 1 - values.index(min(values)) >= experiment.patience


class Events:
    """Events of one run in `workdir`."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Path,
        mesh: Mesh,
        checkpoints: Checkpoints,
        timesheet: Timesheet,
    ):
        """Takes the run, the devices for evaluation, its checkpoints and its timesheet."""
        self._experiment = experiment
        self._workdir = workdir
        self._mesh = mesh
        self._checkpoints = checkpoints
        self._timesheet = timesheet
        self._results = records.Results(workdir, experiment.evals)
        self._over = False  # stopped early, by `patience`

    def ended(self, step: int) -> bool:
        """Returns whether the run ends with this step."""
        return self._over or step >= self._experiment.steps

    def due(self, step: int) -> set[str]:
        """Names of the events due after this step."""
        experiment, last = self._experiment, self.ended(step)

        def is_time(every: int) -> bool:
            return bool(every) and step % every == 0

        due = set()
        if experiment.evals_at(step, last):
            due |= {'evals', 'checkpoint'}
        if last or is_time(experiment.checkpoint_every):
            due.add('checkpoint')
        if (last or is_time(experiment.sample_every)) and image_kinds(experiment):
            due.add('pictures')
        return due

    def left(self, step: int) -> set[str]:
        """Events of the restored step that an earlier process did not finish. A member of a
        population may resume from a step without a checkpoint in its own folder.
        """
        saved = any(at >= step for at in self._checkpoints.steps)

        def look() -> list[str]:
            done = ['checkpoint'] if saved else []
            if not self._unrecorded(step):
                done.append('evals')
            kinds = image_kinds(self._experiment)
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
        """Runs the events that are `due` after this step; `window` is that of the metrics."""
        experiment, results = self._experiment, {}
        if 'evals' in due:
            with self._timesheet.used_for('evaluation'):
                self._evaluate(step, state, writer, progress)
                self._over = self._is_over(step)
                if self._over:  # with the evals of the last step
                    self._evaluate(step, state, writer, progress)
            due = due | self.due(step)
        if 'checkpoint' in due:
            # An earlier start may have recorded results and been killed before the checkpoint.
            if 'evals' in self.due(step):
                results = distributed.on_first(lambda: self._recorded(step))
            with self._timesheet.used_for('checkpoint'):
                self._checkpoints.save(step, state, results, window)
        best = experiment.best
        own = [name for name in results if best and name.startswith(f'{best.partition("/")[0]}/')]
        if own and records.best_result(results, best) is None:
            raise UserError(f'config.best={best!r} is none of {", ".join(own)}')
        if 'pictures' in due:
            with self._timesheet.used_for('evaluation'):
                written = write_images(experiment, state.averaged, self._workdir, step)
            for name, path in written.items():
                writer.picture(step, name, path)

    def outcome(self, step: int, state: TrainState) -> Run:
        """Returns the finished run, restored to its best checkpoint if one is tracked."""
        self._checkpoints.wait()
        if self._checkpoints.best_step in (None, step):
            return Run(self._workdir, self._experiment, step, state, self._mesh)
        return runs.load(self._workdir)

    def _evaluate(
        self, step: int, state: TrainState, writer: MetricWriter | NoMetrics, progress: Progress
    ) -> None:
        """Runs and records those evals of this step that are not recorded yet."""
        experiment = self._experiment
        due = experiment.evals_at(step, self.ended(step))
        for name in distributed.on_first(lambda: self._unrecorded(step)):
            results = evaluate(
                {name: due[name]}, experiment.model, state.averaged, experiment.dataset,
                experiment.preprocess, mesh=self._mesh, seed=experiment.seed,
            )  # fmt: skip
            writer.write(step, numbers(results))
            writer.flush()
            shown = '  '.join(f'{n} {value:.4g}' for n, value in numbers(results).items())
            progress.say(f'step {step:,}  {shown}')

    def _is_over(self, step: int) -> bool:
        return distributed.on_first(
            lambda: out_of_patience(self._experiment, self._results(), step)
        )

    def _unrecorded(self, step: int) -> list[str]:
        """Names of this step's evals without results in `metrics.jsonl`."""
        recorded = {name.partition('/')[0] for name in self._recorded(step)}
        due = self._experiment.evals_at(step, self.ended(step))
        return [name for name in due if name not in recorded]

    def _recorded(self, step: int) -> dict[str, float]:
        """Results of evals at this step in `metrics.jsonl`."""
        return {
            name: math.nan if value is None else value
            for at, results in self._results()
            if at == step
            for name, value in results.items()
        }
