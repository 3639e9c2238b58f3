"""What the codes of a VAE cost, and what they leave out."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.likelihood import Moments, masked_moments
from genjax.models.base import Variables
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class RateDistortion(Evaluator):
    """Where a VAE stands between compression and fidelity (Alemi et al., "Fixing a broken ELBO",
    2018).

    Gives 'rate', the mean KL of the posterior from the prior; 'distortion', the mean of -log p(x|z)
    under the posterior, both in nats an example; their standard errors over the examples,
    'rate_stderr' and 'distortion_stderr'; and 'protocol'. A model with classes is told the label.

    Attributes:
        batch_size: examples at a time.
        num_draws: how often each example is judged, with fresh noise of the preprocessing and the
            posterior.
    """

    batch_size: int = 500
    num_draws: int = 1

    def __post_init__(self):
        for name in ('batch_size', 'num_draws'):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise UserError(f'RateDistortion.{name} must be at least 1, not {value}')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Judges a model; raises a UserError when it is no VAE."""
        require(self, model, 'rate_distortion')
        rate, distortion = Moments(), Moments()
        for batch in data.batches(self.batch_size):
            parts, key = _batch_moments(
                model, data.preprocess, self.num_draws, variables, batch, key
            )
            for total, part in zip((rate, distortion), fetch(parts), strict=True):
                total.add(*map(float, part))
        if not rate.count:
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        steps = [repr(step) for step in data.preprocess.steps]
        split = f'{data.split} ({rate.count:.0f} examples)'
        return {
            'rate': rate.mean,
            'distortion': distortion.mean,
            'rate_stderr': rate.standard_error,
            'distortion_stderr': distortion.standard_error,
            'protocol': ', '.join([f'{self.num_draws} draws', *steps, split]),
        }


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _batch_moments(
    model: Any,
    preprocess: Chain,
    num_draws: int,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Array,
) -> tuple[tuple[tuple[Array, ...], ...], Array]:
    """Moments of rate and distortion of one batch, and the next batch's key."""
    label = () if getattr(model, 'num_classes', None) is None else (batch['label'],)

    def draw(key: Array) -> tuple[Array, Array]:
        preprocess_key, key = jax.random.split(key)
        y, _ = preprocess(batch['x'], preprocess_key)
        return model.rate_distortion(variables, y, key, *label)

    next_key, key = jax.random.split(key)
    means = (each.mean(0) for each in jax.lax.map(draw, jax.random.split(key, num_draws)))
    return tuple(masked_moments(each, batch['mask']) for each in means), next_key
