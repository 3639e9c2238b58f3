"""Loads a run from disk."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from genjax import config as configs
from genjax.data.standardise import recorded
from genjax.errors import UserError
from genjax.files import as_path
from genjax.parallel import distributed
from genjax.parallel.sharding import MeshShape
from genjax.training import unchanged
from genjax.training import workdir as folder
from genjax.training.averages import Average, PowerEMA, reconstructed
from genjax.training.checkpoints import Checkpoints, steps_in
from genjax.training.experiment import Experiment, experiment_of
from genjax.training.programs import abstract_state
from genjax.training.run import Run
from genjax.training.state import TrainState, on_device


def load(
    workdir: str | Path,
    step: str | int = 'best',
    *,
    ema: bool | float | Average = True,
    first_stage: str | None = None,
    sampling: Iterable[tuple[str, Any]] = (),
) -> Run:
    """Loads a run.

    Args:
        workdir: run folder; only read, so the run may be training.
        step: 'best' (the latest if the config has no `best`), 'latest', or a number.
        ema: variables that the run uses (`Run.ema`). A `PowerEMA` that the run has not tracked is
            computed from those that it has, in the checkpoints up to this step.
        first_stage: current folder of its first stage's run, if that was moved.
        sampling: other sampling options, by path (`Run.with_options`).

    Raises:
        UserError: the run, checkpoint, average or option does not exist.
    """
    path = as_path(workdir)
    if step not in ('best', 'latest') and not str(step).isdecimal():
        raise UserError(f"--step is a number, 'best' or 'latest', not {step!r}")
    record = distributed.on_first(lambda: folder.read(path))
    unchanged.check_settings(path, record)
    config = configs.moved(folder.config_of(record), record['workdir'], path)
    if first_stage is not None:
        _move_first_stage(config, first_stage)
    experiment = experiment_of(config)
    preprocess = recorded(experiment.preprocess, record['preprocess'])
    experiment = dataclasses.replace(experiment, preprocess=preprocess)
    unchanged.check_preprocess(path, record, experiment.preprocess.provenance)
    example = {name: (tuple(shape), dtype) for name, (shape, dtype) in record['example'].items()}
    # The run may have been trained on other devices; shard large parameters over those here.
    mesh = MeshShape(data=1, fsdp=jax.device_count()).make()
    target = abstract_state(experiment, example, mesh)
    while True:
        there = set(steps_in(path / 'checkpoints'))
        try:
            with _quiet(), open_checkpoints(experiment, path, True) as checkpoints:
                at = checkpoints.best_step if step == 'best' else None
                restored = checkpoints.restore(target, int(step) if str(step).isdecimal() else at)
                if restored and isinstance(ema, PowerEMA) and ema not in experiment.ema:
                    state = _with_average(checkpoints, experiment, target, *restored, ema)
                    experiment = dataclasses.replace(experiment, ema=(*experiment.ema, ema))
                    restored = restored[0], state
            break
        except Exception:
            if there <= set(steps_in(path / 'checkpoints')):
                raise
            # The run is training, and has removed a checkpoint in the meantime.
    if restored is None:
        raise UserError(f'{path} has no checkpoint yet')
    # With the config's own options: its guide may have networks in the checkpoint.
    run = Run(path, experiment, *restored, mesh, ema)
    _ = run.variables  # raises if there is no such average
    return run.with_options(sampling)


def _with_average(
    checkpoints: Checkpoints,
    experiment: Experiment,
    target: TrainState,
    step: int,
    state: TrainState,
    average: PowerEMA,
) -> TrainState:
    """Adds an average to the state at a step, from those in the checkpoints up to it."""
    if not any(isinstance(tracked, PowerEMA) for tracked in experiment.ema):
        raise UserError(
            f'ema={average}: the run has averaged no parameters with PowerEMA; train with'
            ' config.ema=(PowerEMA(.05), PowerEMA(.1)) and config.keep_every'
        )

    def averages(at: int) -> list[tuple[Any, Any]]:
        names = ('ema', 'ema_state')
        read = {name: getattr(state, name) for name in names}
        if at != step:
            read = checkpoints.part(at, {name: getattr(target, name) for name in names})
        return list(zip(on_device(read['ema']), read['ema_state'], strict=True))

    snapshots = {at: functools.partial(averages, at) for at in checkpoints.steps if at <= step}
    ema, ema_state = reconstructed(snapshots, experiment.ema, step, average.std)
    return state.replace(ema=(*state.ema, ema), ema_state=(*state.ema_state, ema_state))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences Orbax's warning about opening a folder read-only."""
    logger = logging.getLogger('absl')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _move_first_stage(config: ConfigDict, folder: str) -> None:
    names = [n for n in configs.paths(config) if n.startswith('preprocess.')]
    if not names:
        raise UserError(f'--first_stage={folder}: this run has no first stage')
    for name in names:
        configs.override(config, name, folder)


def open_checkpoints(experiment: Experiment, path: Path, read_only: bool = False) -> Checkpoints:
    """Opens the checkpoints of a run with the options of its config."""
    return Checkpoints(
        path / 'checkpoints',
        keep=experiment.keep,
        keep_every=experiment.keep_every,
        best=experiment.best,
        best_mode=experiment.best_mode,
        read_only=read_only,
        finite=True,
    )
