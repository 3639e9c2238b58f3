"""Gap between the aggregate posterior and the prior."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.models import conditions
from genjax.models.base import Variables
from genjax.parallel.host import fetch


def normal_kl(mean: np.ndarray, covariance: np.ndarray) -> float:
    """KL in nats of N(mean [D], covariance [D, D]) from the standard normal."""
    _, log_det = np.linalg.slogdet(covariance)
    return float(0.5 * (np.trace(covariance) + mean @ mean - len(mean) - log_det))


@dataclass(frozen=True)
class AggregatePosterior(Evaluator):
    """The aggregate posterior of a VAE, the mixture of q(z|x) over the split, against a standard
    normal prior, by its first two moments (Hoffman & Johnson, "ELBO surgery", 2016).

    Gives 'kl', the KL in nats of the moment-matched normal from the prior (large: the prior has
    mass where no data are encoded); 'shift', the root mean square of the dimensions' means (prior:
    0); 'mean_std_min' and 'mean_std_max', the smallest and largest standard deviation of a
    dimension's posterior means (near 0: inactive); 'std_min' and 'std_max', those of its latents
    (prior: 1); and 'protocol'. A conditional model is given labels or contexts.

    Attributes:
        batch_size: examples per batch.
    """

    batch_size: int = 500

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it is not a VAE with a standard normal prior and
        without a flow.
        """
        require(self, model, 'posterior')
        if getattr(model, 'flow', None) is not None or model.prior.learned:
            raise UserError(
                'AggregatePosterior needs a VAE with a standard normal prior and without a flow'
            )
        parts = []
        for batch in data.batches(self.batch_size):
            part, key = _batch_posterior(model, data.preprocess, variables, batch, key)
            mask = fetch(batch['mask'])
            parts.append([np.asarray(each, np.float64)[mask] for each in fetch(part)])
        if not parts or sum(len(mean) for mean, _ in parts) < 2:
            raise UserError(f'AggregatePosterior needs two examples of the {data.split} split')
        mean, log_std = (np.concatenate(each) for each in zip(*parts, strict=True))
        between = np.atleast_2d(np.cov(mean.T, bias=True))
        covariance = between + np.diag(np.mean(np.exp(2 * log_std), axis=0))
        mean_std, std = np.sqrt(np.diag(between)), np.sqrt(np.diag(covariance))
        centre = np.mean(mean, axis=0)
        steps = [repr(step) for step in data.preprocess.steps]
        return {
            'kl': normal_kl(centre, covariance),
            'shift': float(np.sqrt(np.mean(centre**2))),
            'mean_std_min': float(mean_std.min()),
            'mean_std_max': float(mean_std.max()),
            'std_min': float(std.min()),
            'std_max': float(std.max()),
            'protocol': ', '.join(['moments', *steps, f'{data.split} ({len(mean)} examples)']),
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch_posterior(
    model: Any, preprocess: Chain, variables: Variables, batch: Mapping[str, Array], key: Array
) -> tuple[tuple[Array, Array], Array]:
    """Means and log standard deviations of one batch, and the key for the next batch."""
    next_key, key = jax.random.split(key)
    x, _ = preprocess(batch['x'], key)
    condition = conditions.of_batch(model, batch)
    posterior = model.posterior(variables, x, *(() if condition is None else (condition,)))
    return (posterior.mean, posterior.log_std), next_key
