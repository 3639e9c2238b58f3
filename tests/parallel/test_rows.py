"""Parameters move to the examples, not examples to the parameters."""

import jax
import optax
import pytest

from genjax.data import Digits
from genjax.models import GPT, DiffusionModel
from genjax.models.diffusion import DiscreteVP, Epsilon
from genjax.networks import DiT, Transformer
from genjax.networks.batch_sharding import keep_rows
from genjax.planning.collectives import collectives_of
from genjax.training import Experiment, MeshShape
from genjax.training.programs import Programs

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


@pytest.mark.parametrize('name', MODELS)
def test_what_devices_send_does_not_grow_with_the_batch(name):
    few, many = (sent(MODELS[name], size) for size in (32, 128))
    assert many < 1.1 * few


def test_without_a_mesh_rows_are_as_they_are():
    x = jax.numpy.ones((3, 2))
    assert keep_rows(x) is x
