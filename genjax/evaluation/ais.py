"""Log-likelihood by annealed importance sampling."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.annealing import ais_bounds, sigmoid_schedule
from genjax.evaluation.base import (
    NO_LIKELIHOOD,
    EvaluationData,
    Evaluator,
    Results,
    kind_of,
    require,
    require_density,
)
from genjax.evaluation.draws import random_batches
from genjax.evaluation.likelihood import Moments, bits_per_dim, masked_moments
from genjax.models import conditions
from genjax.models.base import LogProb, Variables
from genjax.models.precision import full_precision
from genjax.models.vae.likelihoods import is_density
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class AIS(Evaluator):
    """Log-likelihood by annealed importance sampling, for models with `prior_sample`,
    `prior_log_prob` and `log_likelihood`; given the label or context of a conditional model.

    Gives 'nll' in nats per example (with its 'stderr' over the examples), 'bits_per_dim' and 'kind'
    'lower_bound' ('density' for discrete data, see `kind_of`); and, on one batch of samples from
    the model, 'gap', the nats by which the mean upper bound ('simulated_upper') exceeds the mean
    lower bound ('simulated_lower'). The gap bounds the error of log p, insofar as samples resemble
    the data.

    Attributes:
        num_steps: temperatures; more tighten the bounds.
        num_chains: chains per example.
        num_leapfrog: leapfrog steps per transition.
        batch_size: examples per batch.
        num_batches: size of a fixed random subset of the split, in batches; None: the whole split.
    """

    num_steps: int = 1000
    num_chains: int = 16
    num_leapfrog: int = 10
    batch_size: int = 100
    num_batches: int | None = None

    def __post_init__(self):
        for name in ('num_steps', 'num_chains', 'num_leapfrog', 'batch_size', 'num_batches'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f'AIS.{name} must be at least 1, not {value}')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if its codes have no density."""
        for method in ('prior_sample', 'prior_log_prob', 'log_likelihood'):
            require(self, model, method)
        require_density(self, data)
        key, simulation_key = jax.random.split(key)
        parts, first = [], None
        size, limit = self.batch_size, self.num_batches
        for batch in (
            data.batches(size) if limit is None else random_batches(data, limit * size, size)
        ):
            part, key = _batch_moments(self, model, data.preprocess, variables, batch, key)
            parts.append(part)
            first = batch if first is None else first
        if not parts:
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        lower, upper = fetch(_simulated_bounds(self, model, variables, simulation_key, first))
        moments = Moments()
        for part in fetch(parts):
            moments.add(*map(float, part))
        steps = [repr(step) for step in data.preprocess.steps]
        bound = LogProb(None, 'lower_bound', is_density(getattr(model, 'likelihood', None)))
        kind = kind_of(bound, data.preprocess, first)
        if kind == 'density':
            steps.append(NO_LIKELIHOOD)
        if conditions.is_conditional(model):
            steps.append('given the condition')
        method = f'AIS of {self.num_steps} steps, {self.num_chains} chains'
        chosen = 'examples' if limit is None else 'examples at random'
        return {
            'nll': -moments.mean,
            'bits_per_dim': bits_per_dim(-moments.mean, math.prod(data.dataset.event_shape)),
            'stderr': moments.standard_error,
            'kind': kind,
            'simulated_lower': float(lower),
            'simulated_upper': float(upper),
            'gap': float(upper - lower),
            'protocol': ', '.join([method, *steps, f'{data.split} ({moments.count:.0f} {chosen})']),
        }

    def _bounds(
        self,
        model: Any,
        variables: Variables,
        x: Array,
        key: Array,
        posterior_sample: Array | None,
        condition: Array | None = None,
    ) -> tuple[Array, Array | None]:
        given = () if condition is None else (condition,)
        return ais_bounds(
            key,
            functools.partial(model.prior_log_prob, variables),
            lambda z: model.log_likelihood(variables, x, z, *given),
            lambda key: model.prior_sample(variables, key, len(x)),
            jnp.asarray(sigmoid_schedule(self.num_steps)),
            self.num_chains,
            self.num_leapfrog,
            posterior_sample,
        )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
@full_precision
def _batch_moments(
    ais: AIS,
    model: Any,
    preprocess: Chain,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Array,
) -> tuple[tuple[Array, Array, Array], Array]:
    """Moments of the lower bounds of one batch, and the key for the next batch."""
    key, preprocess_key, ais_key = jax.random.split(key, 3)
    x, log_det = preprocess(batch['x'], preprocess_key)
    condition = conditions.of_batch(model, batch)
    lower, _ = ais._bounds(model, variables, x, ais_key, None, condition)
    return masked_moments(lower + log_det, batch['mask']), key


@functools.partial(jax.jit, static_argnums=(0, 1))
@full_precision
def _simulated_bounds(
    ais: AIS, model: Any, variables: Variables, key: Array, batch: Mapping[str, Array] | None = None
) -> tuple[Array, Array]:
    """Mean lower and upper bound over samples from the model, whose latents are known, with the
    conditions of a batch.
    """
    z_key, x_key, ais_key = jax.random.split(key, 3)
    condition = None if batch is None else conditions.of_batch(model, batch)
    num = ais.batch_size if condition is None else len(condition)
    z = model.prior_sample(variables, z_key, num)
    x = model.sample_given_code(variables, x_key, z, *(() if condition is None else (condition,)))
    lower, upper = ais._bounds(model, variables, x, ais_key, z, condition)
    return jnp.mean(lower), jnp.mean(upper)
