"""Populations on one accelerator: many small models that one program trains."""

from collections.abc import Callable
from typing import Any

MEMBERS, TINY_MEMBERS = 64, 4


def measure(
    config: Any, tiny: bool, timed: Callable[[Callable[[], Any]], list[float]]
) -> dict[str, Any]:
    """Steps a second of a population of seeds, of all members together, beside those of one run.

    Args:
        config: config of a run.
        tiny: few members.
        timed: seconds of a call, of some blocks of calls; what a call returns is waited for.
    """
    import statistics

    import jax
    import jax.numpy as jnp
    import numpy as np

    from genjax.models.base import num_params
    from genjax.planning.programs import example
    from genjax.sweeps.trials import trials_of
    from genjax.sweeps.vectorized.program import (
        Population,
        PopulationPrograms,
        PopulationState,
    )
    from genjax.training.programs import Programs

    num = TINY_MEMBERS if tiny else MEMBERS
    trials = trials_of(config, [{'seed': seed} for seed in range(num)])
    population = Population(tuple(trials), ('seed',))
    experiment = population.experiments[0]
    shapes, _ = example(experiment)
    device = jax.devices()[0]
    calls = experiment.calls

    def batch_of(*leading: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        return {
            name: (17 * random.random((*leading, *shape))).astype(dtype)
            for name, (shape, dtype) in shapes.items()
        }

    stacked, rows = (calls,) * (calls > 1), experiment.rows_per_step
    alone = Programs.of(experiment, shapes, [device])
    held = [alone.init(batch_of(rows), {})]
    batch = jax.device_put(batch_of(*stacked, rows), alone.batch_sharding)

    def step_alone() -> Any:
        held[0], metrics = alone.step(held[0], batch)
        return metrics

    single = calls / statistics.median(timed(step_alone))
    parameters = num_params(held.pop().variables)

    programs = PopulationPrograms(population, shapes, [device])
    train = programs.init(programs.values, batch_of(num, rows), {})
    together = [PopulationState(train, jnp.ones(num, bool))]
    batches = jax.device_put(batch_of(*stacked, num, rows), programs.batch_sharding)

    def step_together() -> Any:
        together[0], metrics = programs.step(programs.values, together[0], batches)
        return metrics

    members = num * calls / statistics.median(timed(step_together))
    peak = (device.memory_stats() or {}).get('peak_bytes_in_use')
    return {
        'device': device.device_kind,
        'members': num,
        'parameters': parameters,
        'batch_size': experiment.batch_size,
        'steps_per_call': calls,
        'steps_per_s_alone': single,
        'steps_per_s_of_all': members,
        'to_one': members / single,
        **({'peak_gib': peak / 2**30} if peak else {}),
    }
