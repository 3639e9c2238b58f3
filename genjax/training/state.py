"""The train state and its initialisation."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array

from genjax.errors import UserError
from genjax.models.base import Batch, Variables
from genjax.schedules import at_step
from genjax.training import frozen, schedule_free, start
from genjax.training.contract import checked_variables
from genjax.training.experiment import Experiment
from genjax.training.rounding import computed, stored

_NONE: Mapping[str, Array] = {}


@flax.struct.dataclass
class TrainState:
    """State of a run; together with config and data it determines the rest of the training.

    Attributes:
        step: completed steps, int32.
        variables: parameters and state of the model.
        opt_state: optimizer state of each phase, by name.
        ema: exponential moving averages of the trained parameters, one per decay in the config;
            None in the place of each frozen one, which is its own average.
        ema_state: averages, with the same decays, of the model state of networks, such as batch
            statistics.
        key: the seed's key; step `s` draws from `fold_in(key, s)`.
    """

    step: Array
    variables: Variables
    opt_state: Mapping[str, optax.OptState]
    ema: tuple[Any, ...]
    ema_state: tuple[Any, ...]
    key: Array

    @property
    def averaged(self) -> Variables:
        """Variables for sampling and evaluation: the first average; without one the average of a
        Schedule-Free optimizer, or the trained ones.
        """
        if self.ema:
            return self.average(0)
        if not schedule_free.states(self.opt_state):
            return self.latest
        params = schedule_free.evaluated(self.latest['params'], computed(self.opt_state))
        return {**self.variables, 'params': params}

    @property
    def latest(self) -> Variables:
        """The trained variables, in float32."""
        return {**self.variables, 'params': computed(self.variables['params'])}

    def average(self, number: int) -> Variables:
        """Variables of an average, by the index of its decay in the config."""
        state = {**self.variables['state'], **self.ema_state[number]}
        params = frozen.merged(on_device(self.ema[number]), self.latest['params'])
        return {'params': params, 'state': state}


def on_device(tree: Any) -> Any:
    """Moves arrays from host memory (`Experiment.ema_on_host`) to the device; also inside a jitted
    function.
    """
    return jax.device_put(tree, jax.memory.Space.Device)


def state_of_networks(variables: Variables) -> Mapping[str, Any]:
    """Model state of the groups that have parameters. Data counts of a model without parameters are
    not network statistics, and are not averaged.
    """
    params, state = variables['params'], variables['state']
    return {group: state[group] for group in state if jax.tree.leaves(params.get(group, {}))}


@functools.partial(jax.jit, static_argnums=1)
def averaged_states(variables: Variables, num: int) -> tuple[Any, ...]:
    """Initial `TrainState.ema_state` for `num` averages: copies of the averaged state."""
    return tuple(jax.tree.map(jnp.copy, state_of_networks(variables)) for _ in range(num))


def init_state(
    experiment: Experiment, batch: Batch, arrays: Mapping[str, Array] = _NONE
) -> TrainState:
    """Returns the initial state; pure, so that it can be jitted with shardings or traced for
    shapes.

    Args:
        experiment: the experiment.
        batch: the first training batch, for shapes and data-dependent initialisation.
        arrays: initial parameters and model state instead of random ones, by name (`start.read`).

    Raises:
        UserError: the optimizer is Schedule-Free, and there are averages beside its own.
    """
    init_key, preprocess_key, key = jax.random.split(jax.random.key(experiment.seed), 3)
    x, _ = experiment.preprocess(batch['x'], preprocess_key)
    model = at_step(experiment.model, 0)
    variables = checked_variables(model, model.init(init_key, {**batch, 'x': x}))
    variables = start.replaced(variables, arrays)
    params = variables['params']
    groups = [group for phase in model.phases for group in phase.trains]
    frozen.check(params, groups, experiment.frozen)
    trained = frozen.trained(params, experiment.frozen)
    opt_state = {
        phase.name: experiment.optimizer_of(phase).init({g: trained[g] for g in phase.trains})
        for phase in model.phases
    }
    if experiment.ema and schedule_free.states(opt_state):
        raise UserError(
            'config.ema: a Schedule-Free optimizer averages the parameters itself; set'
            ' --config.ema=()'
        )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        variables={**variables, 'params': stored(params, experiment.params_dtype)},
        opt_state=stored(opt_state, experiment.moments_dtype),
        # Copies: the step donates its input, and one buffer cannot be donated twice.
        ema=tuple(jax.tree.map(jnp.copy, trained) for _ in experiment.ema),
        ema_state=averaged_states(variables, len(experiment.ema)),
        key=key,
    )
