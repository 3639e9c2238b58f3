"""Posteriors by a model of `Simulations`, whichever of parameters and observations it models."""

from typing import Any

import numpy as np

from genjax.data.preprocessing import Chain
from genjax.data.simulations import Simulations
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData
from genjax.inference.likelihood import likelihood_posterior
from genjax.inference.posterior import Posterior, posterior_samples
from genjax.models.base import Variables
from genjax.sampling import log_prob


def check(evaluator: Any, data: EvaluationData) -> None:
    """Raises UserError unless the data are simulations."""
    if not isinstance(data.dataset, Simulations):
        names = type(evaluator).__name__, type(data.dataset).__name__
        raise UserError('{} is of models of Simulations, and the data are {}'.format(*names))


def samples(
    model: Any,
    variables: Variables,
    dataset: Simulations,
    preprocess: Chain,
    observation: np.ndarray,
    num: int,
    seed: int,
) -> Posterior:
    """Draws parameters given one observation: `posterior_samples` of a model of parameters,
    `likelihood_posterior`, without leakage, of one of observations; raises what they do.
    """
    task, options = dataset.task, {'seed': seed, 'preprocess': preprocess}
    if dataset.modelled == 'parameters':
        prior = task.prior_log_prob
        return posterior_samples(model, variables, observation, prior, num, **options)
    return Posterior(likelihood_posterior(model, variables, observation, task, num, **options), 0.0)


def log_density(
    model: Any, variables: Variables, data: EvaluationData, theta: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Computes the model's log p(θ | x) [B] of pairs, or log p(θ) p(x | θ) of a model of
    observations: up to a constant of x.
    """
    common = (model, data.preprocess, variables)
    if data.dataset.modelled == 'parameters':
        return log_prob(*common, theta, data.seed, context=x).value
    prior = np.asarray(data.dataset.task.prior_log_prob(theta))
    return prior + log_prob(*common, x, data.seed, context=theta).value
