"""Caches data sources shared by trials."""

from collections.abc import Callable

from genjax import config as configs
from genjax.data.sources import Source
from genjax.sweeps.trials import Trial
from genjax.training.experiment import experiment_of


def sources() -> Callable[[Trial], Source]:
    """Returns a function that opens the training data of a trial, cached by data config."""
    read: dict[str, Source] = {}

    def source_of(trial: Trial) -> Source:
        name = configs.fingerprint(trial.config.dataset)
        if name not in read:
            read[name] = experiment_of(trial.config).dataset.source('train')
        return read[name]

    return source_of
