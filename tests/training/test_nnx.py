"""A network of `flax.nnx`: named in a config, trained, resumed, sharded, and given back."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from genjax import load
from genjax.config import build, from_json, spec, to_json
from genjax.errors import UserError
from genjax.models import VAE, DiffusionModel
from genjax.networks import MLP, from_nnx
from genjax.parallel import sharding
from genjax.training import MeshShape, loop
from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs, example_of
from tests.models.nnx_networks import TimeNet
from tests.training import tiny
from tests.training.conftest import assert_same
from tests.training.denoisers import diffusion

pytestmark = pytest.mark.slow

NETWORK = spec(TimeNet, shape=tiny.SHAPE, features=16, dropout=0.1, normalise=True)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The folder of a run of two steps."""
    path = tmp_path_factory.mktemp('runs') / 'nnx'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        loop.train(diffusion(NETWORK, steps=2), path)
    return path


def test_it_resumes_bit_for_bit_and_is_given_back(trained, tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)
    for steps in (1, 2):
        loop.train(diffusion(NETWORK, steps=steps), tmp_path / 'halves')
    run = load(trained)
    assert_same(load(tmp_path / 'halves').state, run.state)
    assert 'batch_stats' in run.state.variables['state']['network']
    assert run.sample(3).shape == (3, *tiny.SHAPE)

    (module,) = run.to_nnx().values()
    assert isinstance(module, TimeNet)
    x, time, label = jnp.ones((5, *tiny.SHAPE)), jnp.linspace(0, 1, 5), jnp.arange(5)
    network = run.model.with_condition(run.model.network)
    params, state = (run.variables[kind]['network'] for kind in ('params', 'state'))
    want = network.apply({'params': params, **state}, x, time, label)
    found, sown = nnx.capture(module, nnx.Intermediate)(x, time, label)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    assert 'features' in sown
    graph, _, _ = nnx.split(module, nnx.Param, ...)
    assert graph is not None


@pytest.mark.full
def test_linen_networks_are_given_as_modules_of_nnx(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)
    loop.train(tiny.gan(steps=1, accumulate=1), tmp_path / 'run')
    run = load(tmp_path / 'run')
    modules = run.to_nnx()
    assert set(modules) == {'discriminator', 'generator'}
    z = jnp.ones((4, 3))
    want = run.model.generator.apply({'params': run.variables['params']['generator']}, z)
    np.testing.assert_allclose(modules['generator'](z), want, rtol=1e-5, atol=1e-6)
    kernels = jax.tree.leaves(nnx.state(modules['generator'], nnx.Param))
    assert len(kernels) == len(jax.tree.leaves(run.variables['params']['generator']))


@pytest.mark.full
def test_fsdp_trains_like_one_device():
    rules = ((r'layers/0/kernel', (None, 'fsdp')),)
    states = []
    for mesh, count in ((MeshShape(), 1), (MeshShape(fsdp=4, rules=rules), 4)):
        sgd = spec(optax.sgd, learning_rate=0.1)
        settings = experiment_of(diffusion(NETWORK, mesh=mesh, optimizer=sgd))
        source = settings.dataset.source('train')
        programs = Programs.of(settings, example_of(source), jax.devices()[:count])
        batch = sharding.place(source[np.arange(8)], programs.batch_sharding)
        states.append(programs.step(programs.init(batch), batch)[0])
    assert_same(*(state.variables for state in states), 1e-5)
    kernel = states[1].variables['params']['network']['layers'][0]['kernel']
    assert kernel.sharding.shard_shape(kernel.shape) == (kernel.shape[0], 4)


def test_a_config_names_the_class():
    config = diffusion(NETWORK)
    assert config.model.network['_target_'] == 'tests.models.nnx_networks.TimeNet'
    assert 'rngs' not in config.model.network
    assert from_json(to_json(config)) == config
    called = spec(DiffusionModel, network=from_nnx(TimeNet, shape=(2,)))
    assert called == spec(DiffusionModel, network=spec(TimeNet, (2,)))
    assert build(called).network == from_nnx(TimeNet, shape=(2,))
    assert build(called).network.clone(num_classes=3).num_classes == 3
    with pytest.raises(UserError, match=r"TimeNet has no argument 'featurs'; did you mean 'feat"):
        spec(TimeNet, shape=(2,), featurs=3)
    with pytest.raises(UserError, match=r"TimeNet needs the argument 'shape'"):
        spec(TimeNet)
    with pytest.raises(UserError, match=r'the decoder FromNNX needs a field shape'):
        VAE(MLP((4,)), from_nnx(nnx.Linear, in_features=3, out_features=4), 3)
