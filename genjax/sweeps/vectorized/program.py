"""One program that trains many trials: fields that differ are arrays with a member axis."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax import config as configs
from genjax.hardware.compiler import run_once_options
from genjax.models.base import Batch
from genjax.sweeps.trials import Trial
from genjax.training.experiment import Experiment, experiment_of
from genjax.training.metrics import MUST_BE_FINITE
from genjax.training.programs import Example
from genjax.training.state import TrainState, init_state
from genjax.training.step import Metrics, train_step

_AXIS = 'members'

Values = Mapping[str, Any]
"""Fields that differ, by path: arrays [members], or tuples of them."""


@flax.struct.dataclass
class PopulationState:
    """State of all members; every array has a leading member axis.

    Attributes:
        train: train states; that of an ended member stays as after its last step, finite or not.
        going: whether a member still trains, bool [members].
    """

    train: TrainState
    going: Array


@dataclass(frozen=True)
class Population:
    """Trials that one program can train.

    Attributes:
        trials: trials whose configs differ only in the fields `traced`.
        traced: paths of those fields.
    """

    trials: tuple[Trial, ...]
    traced: tuple[str, ...]

    @functools.cached_property
    def experiments(self) -> tuple[Experiment, ...]:
        """Experiment of each trial."""
        return tuple(experiment_of(trial.config) for trial in self.trials)

    def member(self, values: Values) -> Experiment:
        """Builds the experiment of one member from values, traced or not, of the fields that
        differ.
        """
        return configs.build(configs.with_leaves(self.trials[0].config, values))

    def values(self, size: int) -> Values:
        """Values of the fields that differ, for `size` members; members beyond the trials repeat
        the first.

        Weakly typed, like the literals of a config.
        """
        rows = [trial.fields for trial in self.trials]
        rows += rows[:1] * (size - len(rows))
        fields = [{name: row[name] for name in self.traced} for row in rows]
        return jax.tree.map(lambda *each: jnp.stack([jnp.asarray(v) for v in each]), *fields)


class PopulationPrograms:
    """Programs of a population, compiled at their first call; each member runs on one device.

    Attributes:
        size: number of members, a multiple of the devices.
        mesh: the devices, along one axis.
        members: sharding of arrays with a leading member axis.
        batch_sharding: sharding of the batches that `step` takes.
        values: the fields that differ.
        state: the state as `jax.ShapeDtypeStruct`s.
        init: (values, first batches [members, rows, ...], arrays to start from by name) ->
            TrainState of all members.
        step: (values, state, batches) -> (state, metrics [members]); donates the state. With
            `steps_per_call` > 1 batches are [steps, members, rows, ...] and metrics [members,
            steps].
    """

    def __init__(self, population: Population, example: Example, devices: Sequence[jax.Device]):
        """Traces the programs for data of these shapes."""
        experiment = population.experiments[0]
        count = len(population.trials)
        self.size = -(-count // len(devices)) * len(devices)
        self.mesh = Mesh(np.asarray(devices), (_AXIS,))
        self.members = NamedSharding(self.mesh, PartitionSpec(_AXIS))
        stacked, platform = experiment.calls > 1, devices[0].platform
        spec = PartitionSpec(None, _AXIS) if stacked else PartitionSpec(_AXIS)
        self.batch_sharding = NamedSharding(self.mesh, spec)
        self.values = jax.device_put(population.values(self.size), self.members)

        own = self.members.spec
        each = functools.partial(jax.shard_map, mesh=self.mesh, out_specs=own, check_vma=False)

        def init(values: Values, batch: Batch, arrays: Mapping[str, Array]) -> TrainState:
            return init_state(population.member(values), batch, arrays)

        self.init = jax.jit(
            each(jax.vmap(init, (0, 0, None)), in_specs=(own, own, PartitionSpec())),
            compiler_options=run_once_options(devices),
        )
        batches = {
            name: jax.ShapeDtypeStruct((self.size, experiment.rows_per_step, *shape), dtype)
            for name, (shape, dtype) in example.items()
        }
        traced = self.init.trace(self.values, batches, {})
        going = jax.ShapeDtypeStruct((self.size,), bool)
        self.state = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=self.members),
            PopulationState(traced.out_info, going),
        )
        # On CPU, looping over members is a fifth faster: caches hold one member, not all. But
        # convolutions in a loop are an order of magnitude slower.
        in_turn = platform == 'cpu' and 'conv_general_dilated' not in str(traced.jaxpr)
        over_members = _in_turn if in_turn else jax.vmap

        def step(
            values: Values, state: PopulationState, batch: Batch
        ) -> tuple[PopulationState, Metrics]:
            advance = functools.partial(_advance, population.member(values), platform)
            return (jax.lax.scan if stacked else _once)(advance, state, batch)

        def steps(
            values: Values, state: PopulationState, batch: Batch
        ) -> tuple[PopulationState, Metrics]:
            if stacked:
                batch = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), batch)
            return over_members(step)(values, state, batch)

        self.step = jax.jit(each(steps, in_specs=(own, own, spec)), donate_argnums=1)


def _advance(
    experiment: Experiment, platform: str, state: PopulationState, batch: Batch
) -> tuple[PopulationState, Metrics]:
    """One step of one member. An ended member keeps its state, has zero metrics, and costs no time
    in a loop over members.
    """
    step = functools.partial(train_step, experiment, unroll=platform == 'cpu')
    _, shapes = jax.eval_shape(step, state.train, batch)

    def stay(train: TrainState, _: Batch) -> tuple[TrainState, Metrics]:
        return train, jax.tree.map(jnp.zeros_like, shapes)  # never read

    going = state.going
    train, metrics = jax.lax.cond(going, step, stay, state.train, batch)
    if experiment.nonfinite == 'stop':
        for name, value in metrics.items():
            if name.partition('/')[2] in MUST_BE_FINITE:
                going &= jnp.isfinite(value)
    return PopulationState(train, going), metrics


def _in_turn(function: Callable) -> Callable:
    """`jax.vmap` as a loop."""
    return lambda *arguments: jax.lax.map(lambda each: function(*each), arguments)


def _once(body: Any, carry: Any, inputs: Any) -> tuple[Any, Any]:
    return body(carry, inputs)
