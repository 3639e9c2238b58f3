"""A run that is on disk: its config and its state."""

from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from genjax import config as configs
from genjax.errors import UserError
from genjax.parallel import distributed
from genjax.parallel.sharding import MeshShape
from genjax.training import workdir
from genjax.training.checkpoints import Checkpoints, steps_in
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
