"""Fraction of samples in low-density regions of the data."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax import Array

from genjax.data.pipeline import random_subset
from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.conditions import data_density
from genjax.evaluation.draws import draw_like, label_protocol
from genjax.models.base import GenerativeModel, Variables
from genjax.parallel.host import fetch


def outlier_share(log_prob: np.ndarray, reference: np.ndarray, quantile: float) -> float:
    """Fraction of samples with a log-density below a quantile of that of the data.

    Args:
        log_prob: log-density of the data distribution at the samples, [N]; NaN counts as an
            outlier.
        reference: the same at data points, [M].
        quantile: fraction of the data that count as outliers.
    """
    return float(np.mean(~(log_prob >= np.quantile(reference, quantile))))


@dataclass(frozen=True)
class Outliers(Evaluator):
    """Fraction of samples at which the known density of the data is below a low quantile.

    For data with an exact `log_prob` (`Density`, `Gaussians`). Exact samples give `quantile`. Gives
    'outliers', its binomial 'stderr', 'threshold' (the log-density in nats below which a sample is
    an outlier, a quantile over the training split) and 'protocol'.

    Attributes:
        num_samples: number of samples.
        quantile: fraction of the data that count as outliers.
        num_reference: maximum number of training examples for the quantile.
        batch_size: samples per batch.
    """

    num_samples: int = 10_000
    quantile: float = 0.001
    num_reference: int = 100_000
    batch_size: int = 1000

    def __post_init__(self):
        if not 0 < self.quantile < 1:
            raise UserError(f'Outliers.quantile must be between 0 and 1, not {self.quantile}')

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the data have no one known density."""
        require(self, model, 'sample')
        truth = data_density(self, data.dataset)
        samples = draw_like(data, model, variables, self.num_samples, key, self.batch_size)
        log_prob = _log_prob(truth, data.preprocess, jax.device_put(samples))
        source = data.dataset.source('train')
        reference = source[random_subset(len(source), self.num_reference)]['x']
        reference = fetch(_log_prob(truth, Chain(()), jax.device_put(reference)))
        share = outlier_share(fetch(log_prob), reference, self.quantile)
        return {
            'outliers': share,
            'stderr': math.sqrt(share * (1 - share) / self.num_samples),
            'threshold': float(np.quantile(reference, self.quantile)),
            'protocol': f'{self.quantile:g} of {len(reference)} data, {self.num_samples} samples'
            + label_protocol(model, data),
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _log_prob(truth: Callable[[Array], Array], preprocess: Chain, x: Array) -> Array:
    """Log-density of the data, [B], at points in the space of the model."""
    return truth(preprocess.inverse(x))
