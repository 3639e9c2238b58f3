"""Builds the trials of a sweep and checks their shapes before the first starts."""

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
    """Builds every trial, and traces its step if its shapes can differ from those of earlier
    trials.

    Args:
        trials: all trials of the sweep.
        elsewhere: whether the trials run on other machines; the data may then be missing here if
            the data set knows the shapes of its examples.

    Raises:
        UserError: a trial cannot run; names the trial and its changes.
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
    """Key of the fields that the comparison of a model with its data depends on."""
    parts = ('dataset', 'preprocess', 'model')
    return json.dumps([row for row in configs.leaves(config) if row[0].startswith(parts)])


def _shape_key(config: ConfigDict) -> str:
    """Key of the fields that shapes may depend on: all except the seed and floats."""
    return json.dumps(
        [
            (path, 'float' if isinstance(value, float) else value)
            for path, value in configs.leaves(config)
            if path != 'seed'
        ]
    )
