"""Accuracy and calibration of a classifier."""

import functools
import math
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
from genjax.models.bayes import BayesClassifier
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
        log_p, label = log_posteriors(self, model, variables, data, key)
        p = np.exp(log_p)
        correct = np.argmax(p, axis=1) == label
        mean = float(np.mean(correct))
        return {
            'accuracy': mean,
            'stderr': math.sqrt(mean * (1 - mean) / len(label)),
            'nll': float(-np.mean(log_p[np.arange(len(label)), label])),
            'ece': calibration_error(np.max(p, axis=1), correct, self.bins),
            'brier': brier_score(p, label),
            'protocol': ', '.join([*protocol_of(model, data, len(label)), f'{self.bins} bins']),
        }


def log_posteriors(
    evaluator: Any, model: Any, variables: Variables, data: EvaluationData, key: Array
) -> tuple[np.ndarray, np.ndarray]:
    """Computes log p(class | x), float64 [N, K], of the labelled examples of a split, by
    `classes.classify`, and returns their labels [N] too.

    Args:
        evaluator: has a `batch_size`, and a name for errors.
        model: the model.
        variables: its parameters and state.
        data: the split.
        key: PRNG key.

    Raises:
        UserError: the model does not classify, or there are no labels.
    """
    require(evaluator, model, classes.needed(model))
    parts = []
    for batch in data.batches(evaluator.batch_size):
        if 'label' not in batch:
            raise no_labels(evaluator, data)
        logits, key = _logits(model, data.preprocess, variables, batch['x'], key)
        logits, label, mask = fetch((logits, batch['label'], batch['mask']))
        counts = mask & (label >= 0)
        logits = logits[counts].astype(np.float64)
        logits -= np.max(logits, axis=1, keepdims=True)
        log_p = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
        parts.append((log_p, label[counts]))
    log_p, label = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if not len(label):
        raise no_labels(evaluator, data)
    return log_p, label


def no_labels(evaluator: Any, data: EvaluationData) -> UserError:
    """Returns the error of an evaluator that needs labels, for a split without."""
    return UserError(f'{type(evaluator).__name__} needs labels: the {data.split} split has none')


def protocol_of(model: Any, data: EvaluationData, num: int) -> list[str]:
    """Parts of the protocol of a result of `num` classified examples."""
    if classes.needed(model) == 'log_prob':
        model = BayesClassifier(model)
    rule = filter(None, [getattr(model, 'classify_method', None)])
    return [*rule, f'{data.split} ({num} examples)']


@functools.partial(jax.jit, static_argnums=(0, 1))
def _logits(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> tuple[Array, Any]:
    """Class logits [B, K] of a batch, and the key for the next batch."""
    next_key, preprocess_key, key = jax.random.split(key, 3)
    y, _ = preprocess(x, preprocess_key)
    return classes.classify(model, variables, y, key), next_key
