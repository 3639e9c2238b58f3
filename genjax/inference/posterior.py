"""Samples of the posterior p(θ | x) by a model of parameters given observations."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.models.base import Variables
from genjax.parallel.host import mesh_of
from genjax.sampling.draw import BATCH_SIZE, IDENTITY, chunk_size, draws, num_shares

_MOST_DRAWS = 100  # for each sample wanted


class Posterior(NamedTuple):
    """Samples of a posterior.

    Attributes:
        samples: [num, P], inside the support of the prior.
        leakage: the share of the model's draws that were outside, and were rejected.
    """

    samples: np.ndarray
    leakage: float


def posterior_samples(
    model: Any,
    variables: Variables,
    observation: np.ndarray,
    prior_log_prob: Callable[[Array], Array],
    num: int,
    *,
    seed: int = 0,
    preprocess: Chain = IDENTITY,
    batch_size: int = BATCH_SIZE,
) -> Posterior:
    """Draws parameters given one observation from a model of p(θ | context=x), and rejects those
    outside the support of the prior (neural posterior estimation).

    Accepted draws keep their order, and draw i is a function of the seed and i: fewer samples are
    the first of more.

    Args:
        model: such as `run.model`.
        variables: such as `run.variables`.
        observation: one x, [*context_shape].
        prior_log_prob: θ [B, P] to [B], -inf outside the support, such as `task.prior_log_prob`.
        num: number of samples.
        seed: random seed.
        preprocess: that of the run, `run.experiment.preprocess`.
        batch_size: draws per batch, at most.

    Raises:
        UserError: `num` is below 1; the model takes no context, or another shape; or fewer than one
            draw in 100 is inside.
    """
    if num < 1:
        raise UserError(f'num={num} must be at least 1')
    mesh = mesh_of(variables)
    rows = chunk_size(mesh)
    enough = -(-num // rows) * rows // num_shares(mesh)  # unless some are outside
    accepted, drawn, found = [], 0, 0
    for part in draws(
        model, variables, _MOST_DRAWS * num, seed, context=observation, preprocess=preprocess,
        batch_size=min(batch_size, enough),
    ):  # fmt: skip
        inside = np.asarray(_inside(prior_log_prob, part['x']))
        (places,) = np.nonzero(inside)
        places = places[: num - found]
        accepted.append(part['x'][places])
        found += len(places)
        if found == num:
            drawn += int(places[-1]) + 1
            return Posterior(np.concatenate(accepted), 1 - num / drawn)
        drawn += len(inside)
    raise UserError(
        f'only {found} of {drawn} draws given this observation are inside the support of the prior:'
        ' the model does not know the posterior there'
    )


@functools.partial(jax.jit, static_argnums=0)
def _inside(prior_log_prob: Callable[[Array], Array], theta: Array) -> Array:
    return prior_log_prob(theta) > -np.inf
