"""Overlap of the supports of model and data."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.conditions import data_density, scored_conditions
from genjax.evaluation.draws import draw_like, label_protocol
from genjax.models.base import HasLogProb, Variables
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class Support(Evaluator):
    """Overlap of the supports of a model and of data with an exact `log_prob`.

    Gives 'precision', the fraction of samples in the support of the data; 'recall', the fraction of
    the split in the support of the model; and 'precision_stderr' and 'protocol'. For uniform
    distributions these are ratios of areas. A model with unbounded support has a recall of 1.

    Attributes:
        num_samples: number of samples.
        batch_size: samples or examples at a time.
    """

    num_samples: int = 10_000
    batch_size: int = 1000

    def __call__(
        self, model: HasLogProb, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the data have no one known density."""
        require(self, model, 'log_prob')
        truth = data_density(self, data.dataset)
        sample_key, key = jax.random.split(key)
        samples = draw_like(data, model, variables, self.num_samples, sample_key, self.batch_size)
        possible = _possible(truth, data.preprocess, jax.device_put(samples))
        precision = float(np.mean(fetch(possible)))
        parts = []
        for batch in data.batches(self.batch_size):
            given = scored_conditions(model, batch)
            part, key = _covered(model, data.preprocess, variables, batch['x'], key, given)
            parts.append(fetch(part)[fetch(batch['mask'])])
        covered = np.concatenate(parts)
        return {
            'precision': precision,
            'precision_stderr': math.sqrt(precision * (1 - precision) / self.num_samples),
            'recall': float(np.mean(covered)),
            'protocol': f'{self.num_samples} samples, {len(covered)} of {data.split}'
            + label_protocol(model, data),
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _possible(truth: Callable[[Array], Array], preprocess: Chain, samples: Array) -> Array:
    """Returns whether each sample is in the support of the data, [B]."""
    return jnp.isfinite(truth(preprocess.inverse(samples)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _covered(
    model: HasLogProb,
    preprocess: Chain,
    variables: Variables,
    x: Array,
    key: Array,
    given: Mapping[str, Array],
) -> tuple[Array, Array]:
    """Tests each example against the support of the model: bool [B], and the next batch's key."""
    next_key, preprocess_key, model_key = jax.random.split(key, 3)
    y, _ = preprocess(x, preprocess_key)
    return jnp.isfinite(model.log_prob(variables, y, model_key, **given).value), next_key
