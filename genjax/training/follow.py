"""Evaluates the checkpoints of a run as they appear, in a process beside the training."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tensorboardX import summary

from genjax import records
from genjax.errors import CannotWrite, UserError
from genjax.evaluation.base import Evaluator, Results
from genjax.evaluation.results import numbers
from genjax.files import exclusive, refuse_links
from genjax.training import workdir as folder
from genjax.training.checkpoints import steps_in
from genjax.training.events import out_of_patience
from genjax.training.results import keep, missing, stored
from genjax.training.run import Run
from genjax.training.tensorboard import EventFile
from genjax.training.writers import wandb_folder, wandb_module


def follow(
    workdir: Path,
    load: Callable[[int], Run],
    evals: Mapping[str, Evaluator],
    *,
    poll: float = 5.0,
    say: Callable[[str], None] = print,
) -> Iterator[tuple[int, Results]]:
    """Evaluates each checkpoint of a run once, oldest first, until the run has ended.

    Results are kept in `evaluations/<step>.json` and shown in TensorBoard, as the run
    `evaluations`, and in Weights & Biases. The run's lock is not touched. A process that is killed
    can be started again: what is kept is not evaluated again.

    Args:
        workdir: folder of the run, which may be training on another machine.
        load: loads the run at a step.
        evals: evaluators by name.
        poll: seconds between looks at the folder.
        say: called with lines for the user.

    Yields:
        The step and the results of each checkpoint.

    Raises:
        RunLocked: another process follows this run.
        UserError: the run, an evaluator or the folder is invalid.
    """
    refuse_links(workdir)
    lost: set[int] = set()
    with contextlib.ExitStack() as held:
        _lock(held, workdir)
        shown = held.enter_context(_Shown(workdir))
        while True:
            there = steps_in(workdir / 'checkpoints')
            todo = {
                step: left
                for step in there
                if step not in lost and (left := missing(evals, stored(workdir, step) or {}))
            }
            for step, left in todo.items():
                try:
                    run = load(step)
                except UserError:
                    if step in steps_in(workdir / 'checkpoints'):
                        raise
                    lost.add(step)
                    say(f'checkpoint {step:,} was removed before its turn: keep more (config.keep)')
                    continue
                results = run.evaluate(left)
                keep(run, left, results)
                shown.write(run, numbers(results))
                yield step, results
            if not todo and there and _has_ended(load, workdir, there[-1]):
                return
            if not todo:
                time.sleep(poll)


def _lock(held: contextlib.ExitStack, workdir: Path) -> None:
    path = workdir / records.EVALUATIONS / '.following'
    busy = f'another process ({{owner}}) follows {workdir}'
    try:
        folder.read(workdir)
        path.parent.mkdir(exist_ok=True)
        held.enter_context(exclusive(path, busy))
    except OSError as error:
        raise CannotWrite(f'cannot write {path}: {error.strerror or error}') from error


def _has_ended(load: Callable[[int], Run], workdir: Path, last: int) -> bool:
    experiment = load(last).experiment
    return last >= experiment.steps or out_of_patience(experiment, records.metrics(workdir), last)


class _Shown(contextlib.AbstractContextManager):
    """Shows results in TensorBoard and Weights & Biases, from the first on."""

    def __init__(self, workdir: Path):
        self._workdir, self._events, self._wandb = workdir, None, None

    def write(self, run: Run, results: Mapping[str, float]) -> None:
        """Shows the results of a checkpoint."""
        if self._events is None:
            self._events = EventFile(self._workdir / 'tensorboard' / 'evaluations', os.getpid())
            if run.experiment.wandb:
                record = folder.read(self._workdir)
                self._wandb = wandb_module().init(
                    project=run.experiment.wandb,
                    dir=wandb_folder(self._workdir),
                    id=f'{record["id"]}-evaluations',
                    name=f'{self._workdir.absolute().name} evaluations',
                    resume='allow',
                )
        for name, value in results.items():
            if math.isfinite(value):
                self._events.write(run.step, summary=summary.scalar(name, value))
        if self._wandb:
            self._wandb.log(dict(results), step=run.step)

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()
        if self._wandb:
            self._wandb.finish()
