"""The data of trials, read once for all trials on the same."""

from collections.abc import Callable

from genjax import config as configs
from genjax.data.sources import Source
from genjax.sweeps.trials import Trial
from genjax.training.experiment import experiment_of


def sources() -> Callable[[Trial], Source]:
    """What finds the training data of a trial."""
    read: dict[str, Source] = {}

    def source_of(trial: Trial) -> Source:
        name = configs.fingerprint(trial.config.dataset)
        if name not in read:
            read[name] = experiment_of(trial.config).dataset.source('train')
        return read[name]

    return source_of
