"""A run that is on disk: its config, its state, and the figures and pictures made from it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genjax import config as configs
from genjax.data.pipeline import eval_batches
from genjax.errors import CannotWrite, UserError, plain
from genjax.evaluation.base import EvaluationData, Figures
from genjax.files import refuse_links, write_json
from genjax.keys import key_of
from genjax.models.base import Variables
from genjax.parallel import distributed, preemption, sharding
from genjax.parallel.sharding import MeshShape
from genjax.training import workdir
from genjax.training.checkpoints import Checkpoints, steps_in
from genjax.training.contract import checked_figures
from genjax.training.experiment import Experiment, experiment_of
from genjax.training.programs import abstract_state
from genjax.training.state import TrainState


@dataclass(frozen=True)
class Run:
    """A trained (or half-trained) model, ready to use.

    Attributes:
        workdir: where it lies.
        experiment: what it is.
        step: the step of the checkpoint.
        state: its state.
        mesh: the devices it lies on.
    """

    workdir: Path
    experiment: Experiment
    step: int
    state: TrainState
    mesh: Mesh


def load(path: Path, step: str = 'best', first_stage: str | None = None) -> Run:
    """Reads a run.

    Args:
        path: its workdir.
        step: 'best' (the latest where the config names no best), 'latest', or a number.
        first_stage: where the run of its first stage is now, if that was moved.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    if step not in ('best', 'latest') and not step.isdecimal():
        raise UserError(f"--step is a number, 'best' or 'latest', not {step!r}")
    record = distributed.on_first(lambda: workdir.read(path))
    workdir.check_settings(path, record)
    config = configs.moved(workdir.config_of(record), record['workdir'], path)
    if first_stage is not None:
        _move_first_stage(config, first_stage)
    experiment = experiment_of(config)
    workdir.check_preprocess(path, record, experiment.preprocess.provenance)
    example = {name: (tuple(shape), dtype) for name, (shape, dtype) in record['example'].items()}
    # Whatever the devices of the training, here are others; large parameters are spread over them.
    mesh = MeshShape(data=1, fsdp=jax.device_count()).make()
    target = abstract_state(experiment, example, mesh)
    while True:
        there = set(steps_in(path / 'checkpoints'))
        try:
            with open_checkpoints(experiment, path, read_only=True) as checkpoints:
                best = checkpoints.best_step if step == 'best' else None
                restored = checkpoints.restore(target, int(step) if step.isdecimal() else best)
            break
        except Exception:
            if there <= set(steps_in(path / 'checkpoints')):
                raise
            # The run is training, and has removed one of them meanwhile.
    if restored is None:
        raise UserError(f'{path} has no checkpoint yet')
    return Run(path, experiment, *restored, mesh)


def _move_first_stage(config: ConfigDict, folder: str) -> None:
    names = [n for n in configs.paths(config) if n.startswith('preprocess.')]
    if not names:
        raise UserError(f'--first_stage={folder}: this run has no first stage')
    for name in names:
        configs.override(config, name, folder)


def open_checkpoints(experiment: Experiment, path: Path, read_only: bool = False) -> Checkpoints:
    """The checkpoints of a run, kept as its config says."""
    return Checkpoints(
        path / 'checkpoints',
        keep=experiment.keep,
        best=experiment.best,
        best_mode=experiment.best_mode,
        read_only=read_only,
        finite=True,
    )


def judge(
    experiment: Experiment,
    variables: Variables,
    split: str,
    mesh: Mesh,
    evaluators: tuple[Callable, ...],
) -> Figures:
    """Runs the evaluators on a split; their figures are named `evaluator/figure`."""

    def batches(size: int) -> Iterator[dict[str, jax.Array]]:
        shares = sharding.num_shares(mesh)
        whole = -(-size // shares) * shares
        layout = sharding.rows(mesh)
        rows = distributed.local_rows(layout, whole)
        source = experiment.dataset.source(split)
        for batch in eval_batches(source, batch_size=size, rows=rows, filled_to=whole):
            yield sharding.place(batch, layout)
            preemption.sync_point()

    data = EvaluationData(experiment.dataset, split, batches, experiment.preprocess)
    key = key_of(experiment.seed, 'evaluation')
    figures: Figures = {}
    for evaluator in evaluators:
        name = type(evaluator).__name__.lower()
        new = checked_figures(evaluator, evaluator(experiment.model, variables, data, key))
        figures |= {f'{name}/{figure}': value for figure, value in new.items()}
    return figures


def test(run: Run, show: Callable[[Figures], None] = lambda _: None) -> Figures:
    """Judges a run on its test split, shows the figures, and keeps them, with their provenance, in
    `evaluations/`.

    Args:
        run: the run.
        show: shows the figures, before anything can go wrong with keeping them.

    Raises:
        UserError: they cannot be kept.
    """
    figures = judge(run.experiment, run.state.averaged, 'test', run.mesh, run.experiment.test)
    if not distributed.is_first():
        return figures
    show(figures)
    refuse_links(run.workdir)
    record = workdir.read(run.workdir)
    content = {
        'step': run.step,
        'figures': figures,
        'config': record['fingerprint'],
        'data': record['data'],
        'seed': run.experiment.seed,
        'provenance': workdir.provenance(),
    }
    try:
        write_json(run.workdir / 'evaluations' / f'{run.step}.json', content)
    except CannotWrite as error:
        raise CannotWrite(f'the results above could not be stored: {error}') from error
    return figures


def tested(run: Run) -> Figures | None:
    """The figures that `test` kept for this very run, if it did."""
    try:
        record = json.loads((run.workdir / 'evaluations' / f'{run.step}.json').read_text('utf-8'))
        same = record['config'] == workdir.read(run.workdir)['fingerprint']
        figures = {
            plain(name): plain(value) if isinstance(value, str) else float(value)
            for name, value in record['figures'].items()
        }
        return figures if same else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def show(figures: Figures, title: str) -> None:
    """Prints figures as a table."""
    table = Table()
    table.add_column('figure')
    table.add_column('value')
    for name, value in figures.items():
        shown = value if isinstance(value, str) else f'{value:.4f}'.rstrip('0').rstrip('.')
        table.add_row(Text(plain(name)), Text(plain(shown)))  # not as rich's markup
    print(title)
    Console(highlight=False).print(table)
