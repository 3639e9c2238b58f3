"""The same training on one device and on many."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from genjax.config import spec
from genjax.data.pipeline import train_batches
from genjax.errors import UserError
from genjax.models import VAE
from genjax.networks import MLP
from genjax.parallel import sharding
from genjax.training import MeshShape
from genjax.training.checkpoints import Checkpoints
from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs, abstract_state, example_of
from tests.tiers import full
from tests.training import tiny
from tests.training.conftest import assert_same

pytestmark = pytest.mark.slow

STEPS = 20
RULES = (('Dense_0/kernel', (None, 'fsdp')), ('output/kernel', ('fsdp', None)))
FSDP = MeshShape(fsdp=4, rules=RULES)


@pytest.fixture
def devices(monkeypatch):
    """`devices(4)`: from now on this machine has four."""
    return lambda count: monkeypatch.setattr(jax, 'device_count', lambda: count)


def experiment(family='vae', mesh=None, **fields):
    settings = experiment_of(getattr(tiny, family)(**fields))
    return dataclasses.replace(settings, mesh=mesh or MeshShape())


def trained(settings, steps=STEPS):
    """The state after some steps, with its programs."""
    source = settings.dataset.source('train')
    programs = Programs.of(settings, example_of(source))
    batches = train_batches(source, batch_size=settings.rows_per_step, seed=settings.seed)
    placed = (sharding.place(batch, programs.batch_sharding) for batch in batches)
    state = programs.init(next(placed))
    batches = train_batches(source, batch_size=settings.rows_per_step, seed=settings.seed)
    for _ in range(steps):
        state, metrics = programs.step(
            state, sharding.place(next(batches), programs.batch_sharding)
        )
    return state, metrics, programs


@pytest.mark.full
@pytest.mark.parametrize('family', ['vae', 'gan'])
def test_data_parallel_and_fsdp_train_like_one_device(family, devices):
    devices(1)
    # Plain descent: Adam turns rounding of vanishing gradients into whole steps.
    changes = {'optimizer': spec(optax.sgd, learning_rate=1e-2, momentum=0.9)}
    if family == 'gan':  # compiles in a third of the time
        changes |= {'accumulate': 1}
    alone, figures, _ = trained(experiment(family, **changes))
    devices(8)
    for mesh in (MeshShape(), FSDP):
        state, others, programs = trained(experiment(family, mesh, **changes))
        assert programs.mesh.size == 8
        assert_same(state, alone, 1e-5)
        assert_same(others, figures, 1e-4)


def test_fsdp_divides_large_arrays_and_everything_made_from_them(devices):
    devices(8)
    model = spec(
        VAE,
        encoder=spec(MLP, features=(1024, 128)),
        decoder=spec(MLP, features=(16,), shape=tiny.SHAPE),
        latent_dim=3,
    )
    settings = experiment(mesh=MeshShape(fsdp=4), model=model)
    state, _, _ = trained(settings, steps=1)
    shares = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if leaf.size >= sharding.MIN_SIZE_TO_SHARD:
            on_device = leaf.addressable_shards[0].data
            shares[jax.tree_util.keystr(path)] = on_device.nbytes / leaf.nbytes
    assert len(shares) == 2 * 5  # two kernels, each with two averages and two moments
    assert set(shares.values()) == {0.25}


@pytest.mark.parametrize('family', [full('vae'), 'gan'])
def test_checkpoint_of_eight_devices_restores_on_four_and_on_one(family, devices, tmp_path):
    devices(8)
    settings = experiment(family, FSDP)
    programs = Programs.of(settings, example_of(settings.dataset.source('train')))
    rows = settings.dataset.source('train')[np.arange(settings.rows_per_step)]
    state = programs.init(sharding.place(rows, sharding.rows(programs.mesh)))
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        checkpoints.save(1, state)
    example = example_of(settings.dataset.source('train'))
    for count, shape in ((4, MeshShape(fsdp=2, rules=RULES)), (1, MeshShape())):
        devices(count)
        mesh = shape.make()
        assert mesh.size == count
        target = abstract_state(settings, example, mesh, shape.rules)
        with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
            step, restored = checkpoints.restore(target)
        assert step == 1
        assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(restored)} == {count}
        assert_same(restored, state)


def rules(*pairs):
    return MeshShape(fsdp=4, rules=tuple(pairs))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: rules(('Densee', (None, 'fsdp'))), "'Densee' matches no parameter"),
        (lambda: rules(('kernel', ())), None),
        (lambda: rules(('kernel', ()), ('Dense_0/kernel', ())), "'Dense_0/kernel' matches no"),
        (lambda: rules(('kernel', ('model',))), 'each is None or one of'),
        (lambda: rules(('kernel', ('fsdp', 'fsdp'))), 'each is None or one of'),
        (lambda: rules(('kernel', 'fsdp')), 'is not of the form'),
        (lambda: rules(('kernel',)), 'is not of the form'),
        (lambda: rules(('(', ('fsdp',))), 'is not a regular expression'),
        (lambda: rules(('bias', ('fsdp', None))), 'more axes than dimensions'),
        (lambda: rules(('head/bias', ('fsdp',))), '6 does not divide over 4'),
        (lambda: MeshShape(data=3), 'data=3 x fsdp=1 x tensor=1 does not fit 8 device'),
        (lambda: MeshShape(tensor=3), 'tensor=3 does not fit 8 device'),
        (lambda: MeshShape(tensor=0), 'tensor=0 is not a number of devices'),
        (lambda: MeshShape(tensor=2), 'config.mesh.tensor=2 divides no parameter'),
        (lambda: MeshShape(fsdp=3), 'does not fit 8 device'),
        (lambda: MeshShape(fsdp=0), 'fsdp=0 is not a number of devices'),
        (lambda: MeshShape(data=-2), 'data=-2 is not a number of devices'),
    ],
)
def test_meshes_that_do_not_fit_are_refused_in_a_line(make, message, devices):
    devices(8)

    def lay_out():
        try:
            settings = experiment(mesh=make())
        except ValueError as e:  # `build` makes a line of it
            raise UserError(str(e)) from None
        Programs.of(settings, example_of(settings.dataset.source('train')))

    if message is None:
        lay_out()
        return
    with pytest.raises(UserError, match=r'config.mesh|rules|fsdp|data|tensor') as e:
        lay_out()
    assert message in str(e.value) and '\n' not in str(e.value)


def test_micro_batch_must_divide_over_the_devices(devices):
    devices(8)
    settings = experiment(batch_size=24, accumulate=2)
    with pytest.raises(UserError, match=r'micro-batch of 12 examples .* over 8 devices'):
        Programs.of(settings, example_of(settings.dataset.source('train')))
