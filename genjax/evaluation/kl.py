"""How far a model's density is from that of the data, where both are known exactly."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require, require_density
from genjax.evaluation.likelihood import Moments, masked_moments
from genjax.models.base import HasLogProb, LogProb, Variables
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class KL(Evaluator):
    """KL(data ‖ model) = E[log p(x) - log q(x)] over held-out data, in nats.

    For data with an exact `log_prob` (`Density`, `Gaussians`) and models with an exact one. Gives
    'kl', its 'stderr' over the examples, 'data_entropy' (the mean of -log p, the least that the
    model's mean -log q can be) and 'protocol'.

    Attributes:
        batch_size: examples at a time.
    """

    batch_size: int = 1000

    def __call__(
        self, model: HasLogProb, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Judges a model; raises a UserError when either density is not known exactly."""
        require(self, model, 'log_prob')
        require_density(self, data)
        if not hasattr(data.dataset, 'log_prob'):
            name = type(data.dataset).__name__
            raise UserError(f'KL needs data with a known density (Density, Gaussians), not {name}')
        log_ratio, entropy = Moments(), Moments()
        for batch in data.batches(self.batch_size):
            parts, key = _batch_moments(model, data.preprocess, data.dataset, variables, batch, key)
            if parts.kind != 'exact' or data.preprocess.bound:
                raise UserError('KL needs an exact log_prob; this one is a bound or an estimate')
            ratio_part, entropy_part = fetch(parts.value)
            log_ratio.add(*map(float, ratio_part))
            entropy.add(*map(float, entropy_part))
        return {
            'kl': log_ratio.mean,
            'stderr': log_ratio.standard_error,
            'data_entropy': entropy.mean,
            'protocol': f'exact, {data.split} ({log_ratio.count:.0f} examples)',
        }


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _batch_moments(
    model: HasLogProb,
    preprocess: Chain,
    dataset: Any,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Array,
) -> tuple[LogProb, Array]:
    """Moments of log p - log q and of -log p over one batch, and the key of the next batch."""
    next_key, preprocess_key, model_key = jax.random.split(key, 3)
    log_p = dataset.log_prob(batch['x'])
    x, log_det = preprocess(batch['x'], preprocess_key)
    result = model.log_prob(variables, x, model_key)
    moments = (
        masked_moments(log_p - (result.value + log_det), batch['mask']),
        masked_moments(-log_p, batch['mask']),
    )
    return result.replace(value=moments), next_key
