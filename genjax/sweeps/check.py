"""The trials of a sweep are built and checked for shapes before the first starts."""

import dataclasses
import json

import jax
from ml_collections import ConfigDict

from genjax import config as configs
from genjax.errors import UserError, line_of
from genjax.parallel.sharding import MeshShape
from genjax.sweeps.sources import sources
from genjax.sweeps.trials import Trial, title
from genjax.training.data_check import check_data
from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs, example_of


def check(trials: list[Trial], elsewhere: bool = False) -> None:
    """Builds every trial, and traces its step where its shapes can differ from an earlier one's.

    Args:
        trials: of the sweep.
        elsewhere: the trials run on machines that have the data, which need not be here if the data
            set knows the shapes of its examples without them.

    Raises:
        UserError: it cannot run; with the trial and its changes.
    """
    checked, compared, source_of = set(), set(), sources()
    one = jax.devices()[:1]
    for number, trial in enumerate(trials):
        try:
            experiment = experiment_of(trial.config)
            example, source = getattr(experiment.dataset, 'example', None), None
            try:
                source = source_of(trial)
                example = example_of(source)
            except UserError:
                if example is None or not elsewhere:
                    raise
            if source and (values := _values_key(trial.config)) not in compared:
                check_data(experiment, source)
                compared.add(values)
            shape = _shape_key(trial.config)
            if shape in checked:
                continue
            experiment = dataclasses.replace(experiment, mesh=MeshShape())
            programs = Programs.of(experiment, example, one)
            programs.check(experiment)
        except Exception as error:
            line = line_of(error)
            if line is None:
                raise
            raise UserError(f'trial {number} ({title(trial.changes)}): {line}') from error
        checked.add(shape)


def _values_key(config: ConfigDict) -> str:
    """What a model is compared with its data by."""
    parts = ('dataset', 'preprocess', 'model')
    return json.dumps([row for row in configs.leaves(config) if row[0].startswith(parts)])


def _shape_key(config: ConfigDict) -> str:
    """What shapes may depend on: all but the seed and the numbers with a fraction."""
    return json.dumps(
        [
            (path, 'float' if isinstance(value, float) else value)
            for path, value in configs.leaves(config)
            if path != 'seed'
        ]
    )
