"""Everything that training changes, and how it starts."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array

from genjax.models.base import Batch, Variables
from genjax.schedules import at_step
from genjax.training.contract import checked_variables
from genjax.training.experiment import Experiment


@flax.struct.dataclass
class TrainState:
    """The state of a run; with the config and the data it determines all that follows.

    Attributes:
        step: completed steps, int32.
        variables: the model's parameters and state.
        opt_state: of each phase, by its name.
        ema: exponential moving averages of all parameters, one for each decay in the config.
        ema_state: averages with the same decays of the model state that goes with parameters, such
            as batch statistics: those of the averaged network.
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
        """The variables to sample and evaluate with: the first average when there is one."""
        return self.average(0) if self.ema else self.variables

    def average(self, number: int) -> Variables:
        """The variables of an average, by its place among the decays in the config."""
        state = {**self.variables['state'], **self.ema_state[number]}
        return {'params': on_device(self.ema[number]), 'state': state}


def on_device(tree: Any) -> Any:
    """Fetches what lies in the memory of the host (`Experiment.ema_on_host`); in a compiled program
    too.
    """
    return jax.device_put(tree, jax.memory.Space.Device)


def state_of_networks(variables: Variables) -> Mapping[str, Any]:
    """The model state of the groups that have parameters. Counts of data, of a model without
    parameters, are no statistics of a network, and are not averaged.
    """
    params, state = variables['params'], variables['state']
    return {group: state[group] for group in state if jax.tree.leaves(params.get(group, {}))}


@functools.partial(jax.jit, static_argnums=1)
def averaged_states(variables: Variables, num: int) -> tuple[Any, ...]:
    """The first `TrainState.ema_state` of `num` averages: copies of the state that they average."""
    return tuple(jax.tree.map(jnp.copy, state_of_networks(variables)) for _ in range(num))


def init_state(experiment: Experiment, batch: Batch) -> TrainState:
    """The state before the first step; pure, so that it can be jitted with shardings or traced for
    shapes.

    `batch` is the first training batch, for shapes and data-dependent initial values.
    """
    init_key, preprocess_key, key = jax.random.split(jax.random.key(experiment.seed), 3)
    x, _ = experiment.preprocess(batch['x'], preprocess_key)
    model = at_step(experiment.model, 0)
    variables = checked_variables(model, model.init(init_key, {**batch, 'x': x}))
    params = variables['params']
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        variables=variables,
        opt_state={
            phase.name: experiment.optimizer_of(phase).init({g: params[g] for g in phase.trains})
            for phase in model.phases
        },
        # Copies: the step donates its input, and one buffer cannot be donated twice.
        ema=tuple(jax.tree.map(jnp.copy, params) for _ in experiment.ema),
        ema_state=averaged_states(variables, len(experiment.ema)),
        key=key,
    )
