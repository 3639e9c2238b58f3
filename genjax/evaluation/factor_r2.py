"""Linear readout of the known factors of the data from a representation."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.conditions import scored_conditions
from genjax.models.base import HasFeatures, Variables
from genjax.parallel.host import fetch


def linear_r2(features: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Held-out R² of linear regression from the features to each factor.

    Least squares on the even rows, evaluated on the odd ones.

    Args:
        features: [N, D].
        factors: [N, K].

    Returns:
        R² of each factor, [K]: 1: fully explained; 0 or less: not explained.
    """
    design = np.concatenate([np.asarray(features, np.float64), np.ones((len(features), 1))], 1)
    factors = np.asarray(factors, np.float64)
    weights = np.linalg.lstsq(design[::2], factors[::2], rcond=None)[0]
    rest, error = factors[1::2], factors[1::2] - design[1::2] @ weights
    return 1 - np.sum(error**2, axis=0) / np.sum((rest - rest.mean(axis=0)) ** 2, axis=0)


@dataclass(frozen=True)
class FactorR2(Evaluator):
    """R² of linear regression from the features of a model to the factors of the data, for data
    with `factors(split)` and `factor_names`.

    Gives 'r2', the mean over the factors, 'r2_<name>' of each, and 'protocol'. It measures whether
    the factors are linearly decodable, not whether they are disentangled.

    Attributes:
        batch_size: examples per batch.
    """

    batch_size: int = 500

    def __call__(
        self, model: HasFeatures, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the factors of the data are not known."""
        require(self, model, 'features')
        if not callable(getattr(data.dataset, 'factors', None)):
            name = type(data.dataset).__name__
            raise UserError(f'FactorR2 needs data with known factors (Jars); {name} has none')
        parts = []
        for batch in data.batches(self.batch_size):
            given = scored_conditions(model, batch)
            part, key = _features(model, data.preprocess, variables, batch['x'], key, given)
            parts.append(fetch(part)[fetch(batch['mask'])])
        features = np.concatenate(parts)
        r2 = linear_r2(features, data.dataset.factors(data.split))
        return {
            'r2': float(np.mean(r2)),
            **{
                f'r2_{name}': float(value)
                for name, value in zip(data.dataset.factor_names, r2, strict=True)
            },
            'protocol': f'linear, {features.shape[1]} features, {data.split}: fitted on one half '
            f'of {len(features)}, judged on the other',
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _features(
    model: HasFeatures,
    preprocess: Any,
    variables: Variables,
    x: Array,
    key: Array,
    given: Mapping[str, Array],
) -> tuple[Array, Array]:
    """Features [B, D] of a batch, and the key for the next batch."""
    next_key, key = jax.random.split(key)
    y, _ = preprocess(x, key)
    features = model.features(variables, y, **given)
    return features.reshape(len(features), -1), next_key
