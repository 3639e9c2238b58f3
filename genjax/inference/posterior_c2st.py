"""Posterior samples of a model beside those of a reference, by a classifier."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from jax import Array

from genjax.data.simulators import observed
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results
from genjax.files import local, sha256
from genjax.inference import simulated
from genjax.models.base import Variables
from genjax.protocols import protocol


def posterior_c2st(reference: np.ndarray, samples: np.ndarray, seed: int = 1) -> float:
    """Accuracy of the classifier of Lueckmann et al., "Benchmarking simulation-based inference"
    (2021), between two samples [N, P] and [M, P]: .5 if it cannot tell them apart.

    A multilayer perceptron with two hidden layers of 10 P rectified units, trained by scikit-learn
    until its training loss stops to fall; the mean over five folds, on features scaled by the
    moments of the reference.
    """
    # Imported lazily: scikit-learn is slow to import.
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, std = np.mean(reference, axis=0), np.std(reference, axis=0, ddof=1)
    x = np.concatenate([(part - mean) / std for part in (reference, samples)]).astype(np.float32)
    label = np.repeat([0, 1], [len(reference), len(samples)])
    width = 10 * x.shape[1]
    learner = MLPClassifier((width, width), max_iter=10_000, random_state=seed)
    folds = KFold(5, shuffle=True, random_state=seed)
    return float(np.mean(cross_val_score(learner, x, label, cv=folds)))


@dataclass(frozen=True)
class PosteriorC2ST(Evaluator):
    """Classifier two-sample test of posterior samples: those of a model of `Simulations`, NPE or
    NLE, against reference samples given the same observations (see `posterior_c2st`).

    Gives 'c2st', the mean accuracy over the observations (.5: indistinguishable), its 'stderr' over
    them, 'worst', the largest, 'leakage' (the mean share of draws outside the prior) and
    'protocol'.

    Attributes:
        reference: a .npz file with observations 'obs_1' [*X], 'obs_2', … of the task, and reference
            samples 'ref_1' [N, P], … given each; None: exact samples given observations of the
            split, of a task with `posterior_sample`.
        num_observations: number of observations; fewer if the file has fewer.
        num_samples: samples of either kind per observation; fewer if the file has fewer.
    """

    reference: str | None = None
    num_observations: int = 10
    num_samples: int = 10_000

    PATHS: ClassVar[tuple[str, ...]] = ('reference',)

    def __post_init__(self):
        if self.num_observations < 1 or self.num_samples < 10:
            raise UserError('PosteriorC2ST needs num_observations >= 1, and num_samples >= 10')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the data are no simulations, or there is no
        reference.
        """
        simulated.check(self, data)
        with jax.transfer_guard('allow'):
            return self._results(model, variables, data, key)

    def _results(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        seeds = np.random.SeedSequence(data.seed).generate_state(self.num_observations)
        accuracies, leakages = [], []
        for number, (x, reference) in enumerate(self._references(data, key)):
            seed = int(seeds[number])
            found = simulated.samples(
                model, variables, data.dataset, data.preprocess, x, len(reference), seed
            )
            accuracies.append(posterior_c2st(reference, found.samples))
            leakages.append(found.leakage)
        spread = np.std(accuracies, ddof=1) if len(accuracies) > 1 else math.nan
        return {
            'c2st': float(np.mean(accuracies)),
            'stderr': float(spread / math.sqrt(len(accuracies))),
            'worst': max(accuracies),
            'leakage': float(np.mean(leakages)),
            'protocol': protocol(
                reference='exact' if self.reference is None else sha256(self._path)[:12],
                classifier='MLP 10 P, 5 folds',
                observations=len(accuracies),
                samples=len(reference),
                seed=data.seed,
            ),
        }

    @property
    def _path(self) -> Path:
        path = Path(local(self.reference))
        if not path.is_file():
            raise UserError(f'PosteriorC2ST.reference={self.reference}: there is no such file')
        return path

    def _references(
        self, data: EvaluationData, key: Array
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Observations as the model takes them, and reference samples given each."""
        task = data.dataset.task
        if self.reference is not None:
            with np.load(self._path) as file:
                for number in range(1, self.num_observations + 1):
                    if f'ref_{number}' in file:
                        x = observed(task, file[f'obs_{number}'].astype(np.float32))
                        yield np.asarray(x), file[f'ref_{number}'][: self.num_samples]
            return
        if not hasattr(task, 'posterior_sample'):
            raise UserError(
                f'PosteriorC2ST: the posterior of {type(task).__name__} is not known exactly, give'
                ' a reference'
            )
        name = 'context' if data.dataset.modelled == 'parameters' else 'x'
        rows = data.dataset.source(data.split)[np.arange(self.num_observations)]
        for number, x in enumerate(rows[name]):
            exact = task.posterior_sample(jax.random.fold_in(key, number), x, self.num_samples)
            yield x, np.asarray(exact)
