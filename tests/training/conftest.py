import contextlib
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import cli
from genjax.records import TIMES
from genjax.training import loading as runs
from genjax.training import loop
from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs, example_of
from tests.training import emulator, tiny
from tests.training.processes import Processes
from tests.training.stages import first_stage

CONFIG = Path(__file__).with_name('config.py')


def arguments(workdir, *words, family='vae', **overrides):
    """The words of `genjax train` of a tiny config; `model__beta=2` sets `config.model.beta`."""
    fields = (f'--config.{name.replace("__", ".")}={value}' for name, value in overrides.items())
    return ['train', f'--config={CONFIG}:{family}', f'--workdir={workdir}', *words, *fields]


@pytest.fixture
def genjax(capfd, monkeypatch):
    """Runs the command line in this process: `genjax('train', …) -> (status, out, err)`."""
    # Eight devices are for the tests of devices.
    monkeypatch.setattr('jax.device_count', lambda: 1)

    def run(*words):
        capfd.readouterr()
        status = cli.main([str(word) for word in words])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def train(genjax, tmp_path):
    """`train(steps=4) -> (status, out, err)`: the tiny VAE, in `tmp_path/run`."""

    def run(*words, workdir=tmp_path / 'run', **overrides):
        return genjax(*arguments(workdir, *words, **overrides))

    return run


@pytest.fixture
def workdir(tmp_path):
    return tmp_path / 'run'


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """The folder of a trained first stage."""
    workdir = tmp_path_factory.mktemp('runs') / 'first'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        loop.train(first_stage(), workdir)
    return workdir


@pytest.fixture
def refused(train):
    """`refused(…) -> message`: trains, and checks that one line on stderr says why not."""

    def run(*words, **overrides):
        status, _, err = train(*words, **overrides)
        return the_line(status, err)

    return run


def the_line(status, err, expected=2):
    """What stands in the only line of an error."""
    assert status == expected
    assert err.startswith('genjax: error: ') and err.count('\n') == 1, err
    return err.removeprefix('genjax: error: ').strip()


def steps_saved(workdir):
    """The steps that have a checkpoint."""
    folders = (workdir / 'checkpoints').glob('*')
    return sorted(int(path.name) for path in folders if path.name.isdigit())


def state_of(workdir, family='vae', step=None):
    """What a checkpoint holds: its step and the train state."""
    settings = experiment_of(getattr(tiny, family)())
    programs = Programs.of(settings, example_of(settings.dataset.source('train')))
    with runs.open_checkpoints(settings, workdir, read_only=True) as checkpoints:
        return checkpoints.restore(programs.state, step)


def assert_same(a, b, tolerance=0.0):
    """Two trees hold the same numbers: bit for bit, or within a relative and absolute tolerance."""

    def check(path, x, y):
        if jnp.issubdtype(jax.dtypes.result_type(x), jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        where = jax.tree_util.keystr(path)
        np.testing.assert_allclose(x, y, tolerance, tolerance, err_msg=where)

    jax.tree_util.tree_map_with_path(check, a, b)


def records(workdir, key='vae/loss'):
    """The training records of `metrics.jsonl`, without the times in them."""
    lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines if key in line]


@pytest.fixture(scope='session')
def processes():
    started = Processes()
    yield started
    started.close()


@pytest.fixture(scope='session')
def stores():
    """`stores('gs://') -> Store`, started when it is first asked for. Clients of a store are kept
    for the life of a process, and so is the store.
    """
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        @functools.cache
        def start(prefix):
            store = stack.enter_context(emulator.started(prefix))
            for name, value in store.variables.items():
                patch.setenv(name, value)
            return store

        yield start


@pytest.fixture(params=['gs://', 's3://'], ids=['gs', 's3'])
def store(request, stores):
    """An emulated store."""
    return stores(request.param)
