"""Accuracy and calibration of a classifier."""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.models import classes
from genjax.models.base import Variables
from genjax.parallel.host import fetch


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al., 2017): Σ_b n_b / N |accuracy_b - confidence_b| over
    bins of equal width in [0, 1].

    Args:
        confidence: probability of the predicted class, [N].
        correct: whether the prediction is right, bool [N].
        bins: number of bins.
    """
    place = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    gaps = np.bincount(place, np.asarray(correct, float) - confidence, minlength=bins)
    return float(np.sum(np.abs(gaps)) / len(place))


def brier_score(probabilities: np.ndarray, label: np.ndarray) -> float:
    """Mean of Σ_k (p_k - 1[k = label])², in [0, 2], of probabilities [N, K] and labels int [N]."""
    one_hot = np.arange(probabilities.shape[1]) == np.asarray(label)[:, None]
    return float(np.mean(np.sum((probabilities - one_hot) ** 2, axis=1)))


@dataclass(frozen=True)
class Accuracy(Evaluator):
    """Accuracy and calibration of a model that classifies, or of the posterior p(class | x) of a
    class-conditional model with `log_prob` (Bayes' rule with equally likely classes).

    Gives 'accuracy' and its standard error 'stderr', 'nll' -log p(label | x) in nats per example,
    'ece' (see `calibration_error`), 'brier' (see `brier_score`) and 'protocol'. Unlabelled examples
    (-1) are left out.

    Attributes:
        bins: bins of the calibration error.
        batch_size: examples per batch.
    """

    bins: int = 15
    batch_size: int = 500

    def __post_init__(self):
        for name in ('bins', 'batch_size'):
            if getattr(self, name) < 1:
                raise UserError(f'Accuracy.{name} must be at least 1, not {getattr(self, name)}')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it does not classify or there are no labels."""
        require(self, model, classes.needed(model))
        parts = list(self._log_probabilities(model, variables, data, key))
        log_p, label = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if not len(label):
            raise UserError(f'Accuracy needs labels: the {data.split} split has none')
        p = np.exp(log_p)
        correct = np.argmax(p, axis=1) == label
        mean = float(np.mean(correct))
        rule = []
        if classes.needed(model) == 'log_prob':
            rule = ["Bayes' rule", *filter(None, [getattr(model, 'log_prob_method', None)])]
        return {
            'accuracy': mean,
            'stderr': math.sqrt(mean * (1 - mean) / len(label)),
            'nll': float(-np.mean(log_p[np.arange(len(label)), label])),
            'ece': calibration_error(np.max(p, axis=1), correct, self.bins),
            'brier': brier_score(p, label),
            'protocol': ', '.join(
                [*rule, f'{data.split} ({len(label)} examples)', f'{self.bins} bins']
            ),
        }

    def _log_probabilities(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields log p(class | x) float64 [n, K] and the labels [n] of the labelled examples of
        each batch.
        """
        for batch in data.batches(self.batch_size):
            if 'label' not in batch:
                raise UserError(f'Accuracy needs labels: the {data.split} split has none')
            logits, key = _logits(model, data.preprocess, variables, batch['x'], key)
            logits, label, mask = fetch((logits, batch['label'], batch['mask']))
            counts = mask & (label >= 0)
            logits = logits[counts].astype(np.float64)
            logits -= np.max(logits, axis=1, keepdims=True)
            yield logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True)), label[counts]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _logits(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> tuple[Array, Any]:
    """Class logits [B, K] of a batch, and the key for the next batch."""
    next_key, preprocess_key, key = jax.random.split(key, 3)
    y, _ = preprocess(x, preprocess_key)
    return classes.classify(model, variables, y, key), next_key
