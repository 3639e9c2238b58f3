"""Parameters to evaluate of Schedule-Free optimizers, `optax.contrib.schedule_free` and others
(Defazio et al., "The road less scheduled", 2024).

These train the parameters y = (1 - b1) z + b1 x, an interpolation of the iterates z, which their
state holds, and the average x of these, which is the result.
"""

from typing import Any

import jax
import optax
from optax.contrib import schedule_free_eval_params

from genjax.training.frozen import merged


def states(opt_state: optax.OptState) -> list[Any]:
    """Returns the Schedule-Free states in optimizer states, at any depth."""

    def is_one(part: Any) -> bool:
        return {'b1', 'z', 'weight_sum'} <= set(getattr(part, '_fields', ()))

    return [part for part in jax.tree.leaves(opt_state, is_leaf=is_one) if is_one(part)]


@jax.jit
def evaluated(params: Any, opt_state: optax.OptState) -> Any:
    """Returns the parameters {group: tree} with x in the place of each y."""
    for state in states(opt_state):
        own = {group: params[group] for group in state.z}
        y = jax.tree.map(
            lambda z, y: None if z is None else y, state.z, own, is_leaf=lambda leaf: leaf is None
        )
        params = {**params, **merged(schedule_free_eval_params(state, y), own)}
    return params
