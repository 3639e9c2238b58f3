"""KL divergence of a model from the data, if both densities are known exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Results, require_density
from genjax.evaluation.bases import PerExample
from genjax.evaluation.conditions import scored_conditions
from genjax.models.base import HasLogProb, Variables


@dataclass(frozen=True)
class KL(PerExample):
    """KL(data ‖ model) = E[log p(x) - log q(x)] over held-out data, in nats.

    For data with an exact `log_prob` (`Density`, `Gaussians`) and models with an exact one, given
    the `context` if the model needs one. Gives
    'kl', its 'stderr' over the examples, 'data_entropy' (the mean of -log p, a lower bound
    on the model's mean -log q) and 'protocol'.

    Attributes:
        batch_size: examples per batch.
    """

    batch_size: int = 1000

    NEEDS: ClassVar[tuple[str, ...]] = ('log_prob',)

    def __call__(
        self, model: HasLogProb, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if either density is not known exactly."""
        results = super().__call__(model, variables, data, key)
        return results | {'protocol': f'exact, {results["protocol"]}'}

    def values(
        self,
        model: HasLogProb,
        variables: Variables,
        data: EvaluationData,
        batch: Mapping[str, Array],
        key: Array,
    ) -> dict[str, Array]:
        """log p - log q and -log p; raises UserError if either density is not exact."""
        require_density(self, data)
        if not hasattr(data.dataset, 'log_prob'):
            name = type(data.dataset).__name__
            raise UserError(f'KL needs data with a known density (Density, Gaussians), not {name}')
        preprocess_key, model_key = jax.random.split(key)
        log_p = data.dataset.log_prob(batch['x'], **scored_conditions(data.dataset, batch))
        x, log_det = data.preprocess(batch['x'], preprocess_key)
        log_q = model.log_prob(variables, x, model_key, **scored_conditions(model, batch))
        if log_q.kind != 'exact' or data.preprocess.bound:
            raise UserError('KL needs an exact log_prob; this one is a bound or an estimate')
        return {'kl': log_p - (log_q.value + log_det), 'data_entropy': -log_p}
