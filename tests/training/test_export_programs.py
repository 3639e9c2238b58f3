"""Programs of `genjax export --format=jax`: the samples and figures of the run, elsewhere."""

import functools
import importlib.util
import os
import subprocess
import sys
import venv

import jax
import numpy as np
import pytest

from genjax import load
from genjax.config import spec
from genjax.training import loop
from tests.tiers import full
from tests.training import tiny
from tests.training.denoisers import Places, diffusion

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec('flatbuffers') is None, reason='flatbuffers is not installed'
    ),
]


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)


@pytest.fixture(scope='module')
def run_of(tmp_path_factory):
    """The run of a 'vae', or of a 'flow' with classes, each trained once."""
    path = tmp_path_factory.mktemp('runs')

    @functools.cache
    def trained(name):
        loop.train({'vae': tiny.vae(steps=2), 'flow': diffusion()}[name], path / name)
        return load(path / name)

    return trained


def loaded(folder):
    """The module `load` of an export."""
    found = importlib.util.spec_from_file_location('load', folder / 'load.py')
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def programs_of(run_of, tmp_path_factory):
    """The folder of the programs of a run, each exported once."""
    out = tmp_path_factory.mktemp('programs')

    @functools.cache
    def exported(name):
        run_of(name).export(out / name, 'jax')
        return out / name

    return exported


@pytest.mark.parametrize('name', ['vae', full('flow')])
def test_programs_do_what_the_run_does_for_any_number_of_rows(name, programs_of, run_of):
    run, exported = run_of(name), loaded(programs_of(name))
    described = exported.CARD['programs']
    assert all(program['batch'] is None for program in described.values())
    assert described['sample']['platforms'] == ['cpu', 'cuda', 'tpu']
    for num in (1, 5):
        np.testing.assert_allclose(
            exported.sample(num, seed=3), run.sample(num, seed=3), rtol=1e-5, atol=1e-3
        )
    x = tiny.Blots().source('test')[np.arange(5)]['x']
    want = run.log_prob(x, seed=3)
    np.testing.assert_allclose(exported.log_prob(x, seed=3), want.value, rtol=1e-4)
    assert described['log_prob']['kind'] == want.kind
    if name == 'flow':
        label = [3, 1, 1]
        want = run.log_prob(x[:3], seed=3, label=np.array(label)).value
        found = exported.log_prob(x[:3], seed=3, label=label)
        np.testing.assert_allclose(found, want, rtol=1e-4)
        np.testing.assert_allclose(
            exported.sample(3, label=label, batch_size=2), run.sample(3, label=label), atol=1e-3
        )
    else:
        with pytest.raises(ValueError, match='learned no labels: leave the label out'):
            exported.sample(1, label=0)


@pytest.mark.full
def test_programs_take_contexts(tmp_path):
    config = diffusion(condition={'context_shape': (2,)}, dataset=spec(Places))
    loop.train(config, tmp_path / 'run')
    run = load(tmp_path / 'run')
    run.export(tmp_path / 'out', 'jax')
    exported = loaded(tmp_path / 'out')
    assert list(exported.CARD['programs']) == ['sample', 'log_prob_given']
    rows = Places().source('test')[np.arange(5)]
    x, context = rows['x'], rows['context']
    want = run.sample(5, context=context, seed=2)
    np.testing.assert_allclose(
        exported.sample(5, context=context, seed=2, batch_size=2), want, rtol=1e-5, atol=1e-3
    )
    want = run.log_prob(x, context=context[0]).value
    np.testing.assert_allclose(exported.log_prob(x, context=context[0]), want, rtol=1e-4)
    with pytest.raises(ValueError, match='sample of this DiffusionModel needs a context'):
        exported.sample(1)


CLEAN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from load import log_prob, sample
x = sample(5, seed=3)
np.savez(sys.argv[2], x=x, log_prob=log_prob(np.clip(x, 0, 255)))
import jax, numpy
names = {name.partition('.')[0] for name in sys.modules}
assert not names & {'flax', 'optax', 'genjax', 'orbax', 'tensorflow'}, names
"""


@pytest.mark.full
def test_programs_run_where_only_jax_and_numpy_are(programs_of, run_of, tmp_path):
    """In the Python of $GENJAX_CLEAN, or in a new environment."""
    python = os.environ.get('GENJAX_CLEAN')
    if python is None:
        venv.create(tmp_path / 'venv', with_pip=True)
        python = tmp_path / 'venv' / 'bin' / 'python'
        wanted = [f'jax=={jax.__version__}', f'numpy=={np.__version__}']
        install = [python, '-m', 'pip', 'install', '--quiet', *wanted]
        found = subprocess.run(install, capture_output=True, text=True)
        if found.returncode:
            pytest.skip(f'jax and numpy cannot be installed: {found.stderr.splitlines()[-1]}')
    environment = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    command = [python, '-I', '-c', CLEAN, programs_of('flow'), tmp_path / 'out.npz']
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    run = run_of('flow')
    with np.load(tmp_path / 'out.npz') as there:
        np.testing.assert_allclose(there['x'], run.sample(5, seed=3), rtol=1e-5, atol=1e-3)
        want = run.log_prob(np.clip(there['x'], 0, 255).astype(np.uint8)).value
        np.testing.assert_allclose(there['log_prob'], want, rtol=1e-4)


@pytest.mark.full
def test_the_snippet_of_the_folder_runs(programs_of):
    folder = programs_of('flow')
    text = (folder / 'README.md').read_text()
    lines = [line.strip() for line in text.splitlines() if line.startswith('    ')]
    command = [sys.executable, '-c', '\n'.join([*lines, 'assert x.shape == (16, 8, 8, 1)'])]
    environment = {**os.environ, 'PYTHONPATH': ''}
    subprocess.run(command, check=True, cwd=folder, env=environment)
