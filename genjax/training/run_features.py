"""The features of a trained model as a feature space."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.evaluation.features import Features, FeatureSpace
from genjax.files import anywhere, as_path
from genjax.models.base import HasFeatures
from genjax.parallel.host import fetch
from genjax.training import loading as runs
from genjax.training.run import Run
from genjax.training.weights import fingerprint


@dataclass(frozen=True)
class RunFeatures(FeatureSpace):
    """Features of the model of another run, such as a classifier trained on the same data.

    Attributes:
        workdir: its folder.
        step: 'best', 'latest', or a number.
    """

    workdir: str
    step: str = 'best'

    PATHS: ClassVar[tuple[str, ...]] = ('workdir',)

    def of(self, dataset: Any) -> tuple[Features, str]:
        run, name = _loaded(as_path(anywhere(self.workdir)), self.step)
        shape = tuple(run.experiment.dataset.event_shape)
        if shape != tuple(dataset.event_shape):
            raise UserError(
                f'RunFeatures: the run in {self.workdir} is of examples of shape {shape}, and these'
                f' have {tuple(dataset.event_shape)}'
            )
        dtype = run.experiment.dataset.source('train')[np.arange(1)]['x'].dtype

        def features(x: np.ndarray) -> np.ndarray:
            if dtype.kind in 'iu':  # samples in the range of the data are floats
                x = np.clip(np.round(x), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
            return run.features(x)

        return features, name


@functools.lru_cache(maxsize=2)
def _loaded(workdir: Path, step: str) -> tuple[Run, str]:
    """A run and the name of its features."""
    run = runs.load(workdir, step)
    if not isinstance(run.model, HasFeatures):
        raise UserError(f'{workdir} trained a {type(run.model).__name__}, which has no features')
    weights = fingerprint(fetch(run.state.averaged))
    return run, f'{type(run.model).__name__} {weights[:12]}, step {run.step}'
