"""Rate and distortion of a VAE."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Results
from genjax.evaluation.bases import PerExample
from genjax.models import conditions
from genjax.models.base import Variables


@dataclass(frozen=True)
class RateDistortion(PerExample):
    """Rate-distortion trade-off of a VAE (Alemi et al., "Fixing a broken ELBO", 2018).

    Gives 'rate', the mean KL of the posterior from the prior; 'distortion', the mean of -log p(x|z)
    under the posterior, both in nats per example; their standard errors over the examples,
    'rate_stderr' and 'distortion_stderr'; and 'protocol'. A conditional model is given the label or
    context.

    Attributes:
        batch_size: examples per batch.
        num_draws: evaluations per example, each with fresh noise of the preprocessing and the
            posterior.
    """

    batch_size: int = 500
    num_draws: int = 1

    NEEDS: ClassVar[tuple[str, ...]] = ('rate_distortion',)

    def __post_init__(self):
        for name in ('batch_size', 'num_draws'):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise UserError(f'RateDistortion.{name} must be at least 1, not {value}')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it is not a VAE."""
        moments = self.moments(model, variables, data, key)
        rate, distortion = moments['rate'], moments['distortion']
        steps = [repr(step) for step in data.preprocess.steps]
        split = f'{data.split} ({rate.count:.0f} examples)'
        return {
            'rate': rate.mean,
            'distortion': distortion.mean,
            'rate_stderr': rate.standard_error,
            'distortion_stderr': distortion.standard_error,
            'protocol': ', '.join([f'{self.num_draws} draws', *steps, split]),
        }

    def values(
        self,
        model: Any,
        variables: Variables,
        data: EvaluationData,
        batch: Mapping[str, Array],
        key: Array,
    ) -> dict[str, Array]:
        """Rate and distortion, means over the draws."""
        condition = conditions.of_batch(model, batch)
        given = () if condition is None else (condition,)

        def draw(key: Array) -> tuple[Array, Array]:
            preprocess_key, key = jax.random.split(key)
            y, _ = data.preprocess(batch['x'], preprocess_key)
            return model.rate_distortion(variables, y, key, *given)

        rate, distortion = jax.lax.map(draw, jax.random.split(key, self.num_draws))
        return {'rate': jnp.mean(rate, axis=0), 'distortion': jnp.mean(distortion, axis=0)}
