"""Host side of one member of a population: an ordinary run in its own folder."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from genjax import config as configs
from genjax.data.sources import Source
from genjax.sweeps.trials import Trial
from genjax.training import loading as runs
from genjax.training.events import Events
from genjax.training.experiment import Experiment
from genjax.training.learning_rate import LearningRates
from genjax.training.metrics import Means
from genjax.training.programs import Example
from genjax.training.progress import Progress
from genjax.training.results import finish
from genjax.training.state import TrainState
from genjax.training.timesheet import Timesheet
from genjax.training.workdir import begin, claim, locked
from genjax.training.writers import MetricWriter


class Member:
    """Run folder of a trial: records, events, and checkpoints at its evals and its end.

    Attributes:
        trial: the trial.
        experiment: its experiment.
        events: events of the run.
        means: running means of its metrics.
        rates: its learning rates.
        writer: writer of its records.
    """

    def __init__(
        self,
        trial: Trial,
        experiment: Experiment,
        workdir: Path,
        step: int,
        source: Source,
        example: Example,
        mesh: Mesh,
        window: Mapping[str, tuple[float, int]],
        sources: list[dict[str, Any]],
        timesheet: Timesheet,
    ):
        """Opens the folder, until `close`; raises UserError where `genjax train` would.

        Args:
            trial: the trial.
            experiment: its experiment.
            workdir: its run folder.
            step: step to resume from.
            source: its training data.
            example: shapes of an example.
            mesh: devices for evaluation.
            window: sums of its metrics at that step.
            sources: records of what it starts from, if it begins.
            timesheet: that of the population.
        """
        self.trial, self.experiment = trial, experiment
        with contextlib.ExitStack() as held:
            held.enter_context(locked(workdir))
            inputs = experiment.preprocess.provenance
            record = claim(workdir, trial.config, example, source, inputs)
            begin(workdir, {**record, 'start': sources or record['start']})
            checkpoints = held.enter_context(runs.open_checkpoints(experiment, workdir))
            self.writer = held.enter_context(MetricWriter(workdir, step))
            self._held = held.pop_all()
        self.writer.log_config(configs.to_json(trial.config))
        self.means = Means(experiment, window)
        self.rates = LearningRates(trial.config, experiment, step)
        self.events = Events(experiment, workdir, mesh, checkpoints, timesheet)

    def hold(self, due: set[str], step: int, state: TrainState, progress: Progress) -> None:
        """Runs the `due` events, except for checkpoints only to resume from, which the
        population writes.
        """
        own = 'evals' in self.events.due(step) or self.experiment.keeps(step)
        if not self.events.ended(step) and not own:
            due = due - {'checkpoint'}
        self.events.hold(due, step, state, self.writer, progress, dict(self.means.window))

    def close(self) -> None:
        """Closes the folder; idempotent."""
        self._held.close()

    def finish(self, step: int, state: TrainState) -> None:
        """Runs the final evals on the final state of the run."""
        finish(self.events.outcome(step, state), self.writer)
