"""Compiled programs of a run, and the shardings of their arrays."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding

from genjax.data.sources import Source
from genjax.errors import explaining
from genjax.hardware.compiler import run_once_options, training_options
from genjax.networks.attention import recorded
from genjax.parallel import sharding
from genjax.schedules import at_step
from genjax.training.contract import check_abilities
from genjax.training.experiment import Experiment
from genjax.training.state import TrainState, init_state
from genjax.training.step import train_step, train_steps

Example = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and dtype of one example, by name: `{'x': ((8, 8, 1), 'uint8'), 'label': ((), 'int32')}`.
"""


def example_of(source: Source) -> Example:
    """Returns the shapes of a source, from its first example."""
    return {k: (v.shape[1:], str(v.dtype)) for k, v in source[np.arange(1)].items()}


def abstract_state(
    experiment: Experiment, example: Example, mesh: Mesh, rules: tuple[tuple, ...] = ()
) -> TrainState:
    """Returns the train state of an experiment for data of these shapes, as `jax.ShapeDtypeStruct`s
    with shardings.

    Raises:
        UserError: the model does not fit the data, or a rule does not fit the model.
    """
    rows = experiment.rows_per_step
    batch = {
        k: jax.ShapeDtypeStruct((rows, *shape), dtype) for k, (shape, dtype) in example.items()
    }
    experiment.check_shapes(batch['x'])
    with explaining('config.model does not fit the data'):
        state = jax.eval_shape(_on(mesh, functools.partial(init_state, experiment)), batch)
    shardings = sharding.state_shardings(state, mesh, rules)
    if experiment.ema_on_host:
        on_host = jax.tree.map(lambda s: s.with_memory_kind('pinned_host'), shardings.ema)
        shardings = shardings.replace(ema=on_host)
    return jax.tree.map(
        lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), state, shardings
    )


@dataclass(frozen=True)
class Programs:
    """Programs of a run, compiled at their first call.

    Attributes:
        mesh: the devices.
        state: the train state as `jax.ShapeDtypeStruct`s with shardings.
        batch_sharding: sharding of the batch of `step`.
        batch: batch of `step` as `jax.ShapeDtypeStruct`s with shardings.
        init: first batch, and arrays to start from by name -> TrainState. The compiled program
            takes the seed as an argument: runs that differ in it alone share all programs.
        step: (TrainState, batch) -> (TrainState, metrics); donates the state. With `steps_per_call`
            > 1 batches and metrics are stacked.
    """

    mesh: Mesh
    state: TrainState
    batch_sharding: NamedSharding
    batch: dict[str, jax.ShapeDtypeStruct]
    init: Callable[..., TrainState]
    step: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        example: Example,
        devices: Sequence[jax.Device] | None = None,
    ) -> 'Programs':
        """Constructs the programs of an experiment for data of these shapes, without compiling, for
        some devices (None: all of the run).

        Raises:
            UserError: the mesh, the batch or the model does not fit the devices or the data.
        """
        mesh = experiment.mesh.make(devices)
        sharding.check_batch(mesh, experiment.batch_size // experiment.accumulate)
        state = abstract_state(experiment, example, mesh, experiment.mesh.rules)
        shardings = jax.tree.map(lambda a: a.sharding, state)
        replicated, row = sharding.replicated(mesh), sharding.rows(mesh)
        stacked = experiment.calls > 1
        leading = (experiment.calls,) * stacked + (experiment.rows_per_step,)
        batch_sharding = sharding.rows(mesh, leading=1) if stacked else row
        step = _on(mesh, train_steps if stacked else train_step)
        unroll = mesh.devices.flat[0].platform == 'cpu'

        def init(seed: Array, *args: Any) -> TrainState:
            return init_state(replace(experiment, seed=seed), *args)

        compiled_init = jax.jit(
            _on(mesh, init),
            out_shardings=shardings,
            compiler_options=run_once_options(mesh.devices.flat),
        )
        return cls(
            mesh=mesh,
            state=state,
            batch_sharding=batch_sharding,
            batch={
                name: jax.ShapeDtypeStruct((*leading, *shape), dtype, sharding=batch_sharding)
                for name, (shape, dtype) in example.items()
            },
            init=functools.partial(_seeded, compiled_init, experiment.seed, replicated),
            step=jax.jit(
                functools.partial(step, experiment, unroll=unroll),
                in_shardings=(shardings, batch_sharding),
                out_shardings=(shardings, replicated),
                donate_argnums=0,
                compiler_options=training_options(mesh.devices.flat),
            ),
        )

    def check(self, experiment: Experiment) -> list[str]:
        """Traces the step (training reuses the trace), and the other methods of a user-defined
        model. Returns the kinds of attention that the step uses, with reasons.

        Raises:
            UserError: the model or an optimizer is invalid, alone or with these data.
        """
        with explaining('config.model or config.optimizer'):
            with recorded() as attention:
                self.step.trace(self.state, self.batch)
            shape = self.batch['x'].shape[experiment.calls > 1 :]
            x = experiment.check_shapes(jax.ShapeDtypeStruct(shape, self.batch['x'].dtype))
            check_abilities(at_step(experiment.model, 0), self.state.variables, x)
        return sorted(attention)


def _seeded(program: Callable, seed: int, replicated: NamedSharding, *args: Any) -> TrainState:
    """Calls a program that takes the seed first, on every device."""
    return program(jax.device_put(np.uint32(seed), replicated), *args)


def _on(mesh: Mesh, function: Callable) -> Callable:
    """Wraps a function so that networks see the mesh while it is traced
    (`networks.batch_sharding`).
    """

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args, **kwargs)

    return traced
