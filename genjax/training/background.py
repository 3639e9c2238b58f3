"""The log-probability of another run, as the background of a likelihood ratio."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.parallel.host import fetch
from genjax.training import loading as runs
from genjax.training.run import Run
from genjax.training.weights import fingerprint


@dataclass(frozen=True)
class Background:
    """A run on the same data with noise, `augment=(Mutate(rate),)`, which learned what all images
    have in common: the background of the score 'ratio' of `Novelty` (Ren et al., 2019).

    Attributes:
        workdir: its folder.
        step: 'best', 'latest', or a number.
    """

    workdir: str
    step: str = 'best'

    PATHS: ClassVar[tuple[str, ...]] = ('workdir',)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log-probability [N] of examples as stored, in nats.

        Raises:
            UserError: there is no such run, or it has no log-probability of such examples.
        """
        return np.asarray(_loaded(Path(self.workdir), self.step)[0].log_prob(x).value)

    @property
    def name(self) -> str:
        """The kind, weights and step of the model."""
        return _loaded(Path(self.workdir), self.step)[1]


@functools.lru_cache(maxsize=2)
def _loaded(workdir: Path, step: str) -> tuple[Run, str]:
    run = runs.load(workdir, step)
    if not callable(getattr(run.model, 'log_prob', None)):
        raise UserError(f'{workdir} trained a {type(run.model).__name__}, which has no log_prob()')
    weights = fingerprint(fetch(run.state.averaged))
    return run, f'{type(run.model).__name__} {weights[:12]}, step {run.step}'
