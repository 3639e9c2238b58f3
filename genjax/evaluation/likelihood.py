"""Log-likelihood of held-out data."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import (
    NO_LIKELIHOOD,
    EvaluationData,
    Evaluator,
    Results,
    kind_of,
    require,
    require_density,
)
from genjax.evaluation.conditions import condition_protocol, scored_conditions
from genjax.models.base import HasLogProb, LogProb, Variables
from genjax.parallel.host import fetch


def bits_per_dim(nats: float, dimensions: int) -> float:
    """Converts nats per example to bits per dimension."""
    return nats / (dimensions * math.log(2))


@dataclass
class Moments:
    """Streaming count, mean and sum of squared deviations (Chan et al., 1983)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, count: float, mean: float, squares: float) -> None:
        """Merges another batch's moments."""
        total = self.count + count
        if total:
            difference = mean - self.mean
            self.mean += difference * count / total
            self.squares += squares + difference**2 * self.count * count / total
            self.count = total

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; NaN for n < 2."""
        if self.count < 2:
            return math.nan
        return math.sqrt(self.squares / (self.count - 1) / self.count)


def masked_moments(values: Array, mask: Array) -> tuple[Array, Array, Array]:
    """Count, mean and sum of squared deviations of `values` [B] where `mask` [B] is true."""
    count = jnp.sum(mask)
    mean = jnp.sum(jnp.where(mask, values, 0.0)) / jnp.maximum(count, 1)
    return count, mean, jnp.sum(jnp.where(mask, values - mean, 0.0) ** 2)


@dataclass(frozen=True)
class Likelihood(Evaluator):
    """Mean negative log-probability of the data as stored (after `Binarise`: of the bits drawn).

    Gives 'nll' in nats per example, 'bits_per_dim', 'stderr' of 'nll' over the examples, 'kind'
    ('exact', 'lower_bound' of the log-probability, 'estimate'; 'density' for a density of
    discrete data, which is not a likelihood: see `kind_of`) and 'protocol'.

    Attributes:
        batch_size: examples per batch.
        num_draws: draws of the noise of preprocessing and model per example, which are averaged. On
            small, dynamically binarised data, a single draw has a large variance.
        given_label: score log p(x | label) of a model with classes, with the label of each example,
            instead of log p(x). Contexts are always given.
    """

    batch_size: int = 500
    num_draws: int = 1
    given_label: bool = False

    def __post_init__(self):
        for name in ('batch_size', 'num_draws'):
            if getattr(self, name) < 1:
                raise UserError(f'Likelihood.{name} must be at least 1, not {getattr(self, name)}')

    def __call__(
        self, model: HasLogProb, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it has no `log_prob`, or it or the data lack the
        condition.
        """
        require(self, model, 'log_prob')
        require_density(self, data)
        program = self.program(model, data.preprocess)
        parts, kind = [], None
        for batch in data.batches(self.batch_size):
            result, key = program(variables, batch, key)
            kind = kind or kind_of(result, data.preprocess, batch)
            total = result.value
            for _ in range(self.num_draws - 1):
                result, key = program(variables, batch, key)
                total += result.value
            parts.append(_mean_moments(total, self.num_draws, batch['mask']))
        if not parts:
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        moments = Moments()
        for part in fetch(parts):
            moments.add(*map(float, part))
        steps = [repr(step) for step in data.preprocess.steps]
        steps += condition_protocol(model, self.given_label)
        if kind == 'density':
            steps.append(NO_LIKELIHOOD)
        method = getattr(model, 'log_prob_method', kind)
        if self.num_draws > 1:
            steps.append(f'mean of {self.num_draws} draws')
        return {
            'nll': -moments.mean,
            'bits_per_dim': bits_per_dim(-moments.mean, math.prod(data.dataset.event_shape)),
            'stderr': moments.standard_error,
            'kind': kind,
            'protocol': ', '.join([method, *steps, f'{data.split} ({moments.count:.0f} examples)']),
        }

    def program(self, model: HasLogProb, preprocess: Chain) -> Callable:
        """The function to compile: (variables, batch, key) -> log-probabilities of the batch in one
        draw of the noise, and the next key. Evaluators that differ in `num_draws` share it.
        """
        return functools.partial(_one_draw, model, preprocess, self.given_label)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _one_draw(
    model: HasLogProb,
    preprocess: Chain,
    given_label: bool,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Array,
) -> tuple[LogProb, Array]:
    next_key, preprocess_key, model_key = jax.random.split(key, 3)
    x, log_det = preprocess(batch['x'], preprocess_key)
    given = scored_conditions(model, batch, given_label)
    result = model.log_prob(variables, x, model_key, **given)
    return result.replace(value=result.value + log_det), next_key


@functools.partial(jax.jit, static_argnums=1)
def _mean_moments(total: Array, num: int, mask: Array) -> tuple[Array, Array, Array]:
    return masked_moments(total / num, mask)
