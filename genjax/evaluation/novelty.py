"""Novelty detection: whether scores of a model tell another data set from its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import Array

from genjax.data.pipeline import random_subset
from genjax.data.preprocessing import Binarise
from genjax.data.sources import Dataset
from genjax.errors import UserError, nearest
from genjax.evaluation import novelty_scores
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require, require_density
from genjax.models.base import Variables
from genjax.protocols import protocol
from genjax.sampling import apply
from genjax.sampling.draw import needs_context

NEEDS = {
    'log_prob': 'log_prob',
    'typicality': 'log_prob',
    'complexity': 'log_prob',
    'ratio': 'log_prob',
    'regret': 'posterior',
    'energy': 'classify',
    'mahalanobis': 'features',
}
"""Method of the model that each score needs."""


@dataclass(frozen=True)
class Novelty(Evaluator):
    """Novelty detection: how well scores of a model separate another data set from its own.

    | score | larger is more novel |
    |---|---|
    | 'log_prob' | -log p(x) |
    | 'typicality' | distance of log p(x) from its mean over training examples |
    | 'complexity' | -log p(x) minus the length of the image as PNG, in nats |
    | 'ratio' | -log p(x) plus the log-probability under a background model |
    | 'regret' | nats that a posterior fitted to x alone adds to the bound of a VAE |
    | 'energy' | -log Σ exp(logits) of a classifier |
    | 'mahalanobis' | distance of the features to the nearest class of training examples |

    Gives 'auroc_<score>' and 'fpr95_<score>' of each (see `auroc` and `fpr_at`), and 'protocol'.
    Choose the scores before looking at the results: no score is the best on all pairs of data sets.

    Attributes:
        other: data of the same shape and type, of which the same split is read.
        scores: names of scores.
        num_examples: largest number of examples of each data set, and of training examples.
        background: of 'ratio': has `log_prob(x [N, *event]) -> [N]` and a `name` for the protocol,
            such as `genjax.training.Background`, a run on images with noise (`Mutate`).
    """

    other: Dataset
    scores: tuple[str, ...] = ('log_prob', 'typicality')
    num_examples: int = 2000
    background: Any = None

    def __post_init__(self):
        if not self.scores or self.num_examples < 1:
            raise UserError('Novelty needs scores, and at least 1 of num_examples')
        for name in self.scores:
            if name not in NEEDS:
                guess = nearest(name, NEEDS)
                raise UserError(f'Novelty has no score {name!r}{guess}; there are {[*NEEDS]}')
        if ('ratio' in self.scores) != (self.background is not None):
            raise UserError("Novelty: the score 'ratio', and no other, needs a background")

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it lacks a method, or the data do not fit."""
        methods = {NEEDS[name] for name in self.scores}
        for method in sorted(methods):
            require(self, model, method)
        if needs_context(model):
            raise UserError(f'Novelty is of p(x): this {type(model).__name__} needs contexts')
        if 'log_prob' in methods:
            require_density(self, data)
        if 'complexity' in self.scores and any(
            isinstance(step, Binarise) for step in data.preprocess.steps
        ):
            raise UserError('Novelty: complexity needs log p of the stored images, not of bits')
        inside, outside = (self._rows(d, data.split)['x'] for d in (data.dataset, self.other))
        if (inside.dtype, inside.shape[1:]) != (outside.dtype, outside.shape[1:]):
            of = [f'{x.dtype} {[*x.shape[1:]]}' for x in (inside, outside)]
            raise UserError(f'Novelty.other must be data like those of the run, {of[0]}: {of[1]}')

        def applied(method: Callable, x: np.ndarray) -> Any:
            return method(model, data.preprocess, variables, x, data.seed)

        train = self._rows(data.dataset, 'train') if self._training else None
        score = self._scores(applied, train)
        inner, outer = score(inside), score(outside)
        results = {}
        for name in self.scores:
            results[f'auroc_{name}'] = novelty_scores.auroc(inner[name], outer[name])
            results[f'fpr95_{name}'] = novelty_scores.fpr_at(inner[name], outer[name])
        method = getattr(model, 'log_prob_method', None)
        return {
            **results,
            'protocol': protocol(
                data=data.dataset.source(data.split).fingerprint[:12],
                other=f'{type(self.other).__name__} '
                + self.other.source(data.split).fingerprint[:12],
                split=data.split,
                examples=f'{len(inside)} and {len(outside)}',
                **({'training': len(train['x'])} if train else {}),
                **({} if self.background is None else {'background': self.background.name}),
                **({'log_prob': method} if 'log_prob' in methods and method else {}),
                seed=data.seed,
            ),
        }

    @property
    def _training(self) -> bool:
        """True if a score compares with training examples."""
        return not {'typicality', 'mahalanobis'}.isdisjoint(self.scores)

    def _scores(self, applied: Callable, train: Any) -> Callable:
        """Returns the function from examples [N, *event] to their scores [N] by name."""
        if 'typicality' in self.scores:
            mean = np.mean(applied(apply.log_prob, train['x']).value, dtype=np.float64)
        if 'mahalanobis' in self.scores:
            if 'label' not in train:
                raise UserError("Novelty: 'mahalanobis' needs labels, and the data have none")
            learned = applied(apply.features, train['x'])

        def scores(x: np.ndarray) -> dict[str, np.ndarray]:
            if 'log_prob' in {NEEDS[name] for name in self.scores}:
                log_prob = applied(apply.log_prob, x).value
            score = {
                'log_prob': lambda: -log_prob,
                'typicality': lambda: novelty_scores.typicality(log_prob, mean),
                'complexity': lambda: novelty_scores.complexity(log_prob, x),
                'ratio': lambda: novelty_scores.likelihood_ratio(
                    log_prob, self.background.log_prob(x)
                ),
                'regret': lambda: applied(apply.regret, x),
                'energy': lambda: novelty_scores.energy(applied(apply.classify, x)),
                'mahalanobis': lambda: novelty_scores.mahalanobis(
                    applied(apply.features, x), learned, train['label']
                ),
            }
            return {name: score[name]() for name in self.scores}

        return scores

    def _rows(self, dataset: Any, split: str) -> dict[str, np.ndarray]:
        """A fixed random subset of a split."""
        source = dataset.source(split)
        return source[random_subset(len(source), self.num_examples)]
