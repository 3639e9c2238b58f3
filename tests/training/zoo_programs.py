"""The compiled programs of the zoo's models, on one device or several."""

import functools

import jax
import optax
import pytest

from genjax.parallel import sharding
from genjax.training import Experiment, MeshShape
from genjax.training.programs import Programs
from tests.training import tiny

ONE = MeshShape(data=1)


def programs_of(entry, mesh=ONE, ema_on_host=False):
    """Compiled once for all tests of a model."""
    return _programs(entry, mesh, ema_on_host)


@functools.cache
def _programs(entry, mesh, ema_on_host):
    settings = Experiment(
        dataset=tiny.Blots(),  # not read
        model=entry.model,
        # Plain descent, clipped: Adam turns rounding of vanishing gradients into whole steps, and
        # a model that diverges magnifies it. Momentum is kept in the unit of the parameters, so
        # that one tolerance suits both: gradients jump where rounding decides the sign of what goes
        # into a rectifier.
        optimizer=optax.chain(optax.scale(-1e-2), optax.trace(0.9)),
        steps=100,
        batch_size=8,
        clip_norm=1.0,
        ema=(0.9,),
        mesh=mesh,
        ema_on_host=ema_on_host,
    )
    example = {name: (a.shape[1:], str(a.dtype)) for name, a in entry.batch().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, 'MIN_SIZE_TO_SHARD', 2)  # tiny arrays are sharded too
        count = mesh.data * mesh.fsdp * mesh.tensor
        return Programs.of(settings, example, jax.devices()[:count])


def batch_of(entry, seed):
    """As many rows as a step reads."""
    return entry.batch(8 * max(phase.repeats for phase in entry.model.phases), seed)


def start(entry, mesh=ONE, ema_on_host=False):
    """The state before the first step: the same on every mesh."""
    alone = programs_of(entry)
    state = alone.init(sharding.place(batch_of(entry, 0), alone.batch_sharding))
    shardings = jax.tree.map(lambda a: a.sharding, programs_of(entry, mesh, ema_on_host).state)
    return jax.device_put(jax.device_get(state), shardings)


def train(programs, state, batches):
    """The state after a step on each of the batches, and the last step's metrics."""
    for batch in batches:
        state, metrics = programs.step(state, sharding.place(batch, programs.batch_sharding))
    return state, metrics
