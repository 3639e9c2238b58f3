"""Parameters move to the examples, not examples to the parameters or to each other."""

import jax
import jax.numpy as jnp
import optax
import pytest

from genjax.data import Digits
from genjax.models import GPT, DiffusionModel
from genjax.models.diffusion import ClassifierFree, DiffusionSampling, DiscreteVP, Epsilon
from genjax.networks import DiT, Transformer
from genjax.networks.batch_sharding import keep_rows
from genjax.parallel import sharding
from genjax.planning.collectives import Collective, collectives_of
from genjax.sampling.draw import chunk_program, chunk_size
from genjax.training import Experiment, MeshShape
from genjax.training.programs import Programs
from tests.tiers import few

pytestmark = pytest.mark.slow

MODELS = {
    'dit': DiffusionModel(
        DiT((8, 8, 1), 2, features=256, num_layers=2, num_heads=4, scan=True),
        DiscreteVP(),
        Epsilon(),
    ),
    'gpt': GPT(Transformer((16,), 50, features=256, num_layers=2, num_heads=4, scan=True)),
}


def sent(model, batch_size):
    """Bytes that each of eight devices sends in a step when parameters are spread over all."""
    experiment = Experiment(
        dataset=Digits(), model=model, optimizer=optax.sgd(0.1), steps=1, batch_size=batch_size,
        mesh=MeshShape(data=1, fsdp=8),
    )  # fmt: skip
    tokens = isinstance(model, GPT)
    example = {'x': (model.event_shape, 'int32' if tokens else 'uint8')}
    programs = Programs.of(experiment, example)
    compiled = programs.step.lower(programs.state, programs.batch).compile()
    found, _ = collectives_of(compiled.as_text())
    return sum(c.bytes for c in found)


@pytest.mark.parametrize('name', few(list(MODELS), ['gpt']))
def test_what_devices_send_does_not_grow_with_the_batch(name):
    few, many = (sent(MODELS[name], size) for size in (32, 128))
    assert many < 1.1 * few


def test_without_a_mesh_rows_are_as_they_are():
    x = jax.numpy.ones((3, 2))
    assert keep_rows(x) is x


@pytest.mark.full
def test_guided_samples_are_computed_where_they_are():
    """Both passes of a sample are on one device: all that is sent are finished samples. The same of
    one step for a batch [B], as in a program of one's own.
    """
    sampling = DiffusionSampling(steps=3, guide=ClassifierFree(2.0))
    model = DiffusionModel(
        DiT((8, 8, 1), 2, 16, 1, 2), DiscreteVP(), Epsilon(), sampling=sampling, num_classes=3
    )
    mesh = MeshShape(data=4).make(jax.devices()[:4])
    whole, rows = sharding.replicated(mesh), sharding.rows(mesh)

    def shapes_of(tree, sharding):
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    batch = {'x': jnp.zeros((4, 8, 8, 1)), 'label': jnp.arange(4) % 3}
    key = jax.random.key(0)
    variables = shapes_of(jax.eval_shape(model.init, key, batch), whole)
    num = chunk_size(mesh)
    labels = {'label': jax.ShapeDtypeStruct((num,), 'int32', sharding=whole)}
    given = (variables, *shapes_of((key, jnp.uint32(0)), whole), labels)
    drawn = jax.jit(chunk_program(model, mesh=mesh)).lower(*given).compile()
    assert collectives_of(drawn.as_text())[0] == (
        Collective('all-gather', 1, 3 * num // 4 * 8 * 8 * 4),
    )

    def step(variables, x, condition):
        return sampling.guide.guided(model, variables, condition)(x, jnp.float32(0.4)).data

    x, condition = shapes_of((jnp.zeros((num, 8, 8, 1)), jnp.zeros((num, 3))), rows)
    compiled = jax.jit(step, out_shardings=rows).lower(variables, x, condition).compile()
    assert collectives_of(compiled.as_text())[0] == ()
