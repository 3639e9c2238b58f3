"""Runs that the code of an older commit began, in the hands of today's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COMMIT = 'bb81eb8'
ROOT = Path(__file__).parent.parent
QUICK = [
    '--config.steps_per_call=1', '--config.log_every=1', '--config.test=()',
    '--config.validation=()', '--config.validate_every=0', '--config.best=None',
    '--config.sample_every=0',
]  # fmt: skip
# The arrays of a checkpoint, and samples with a key of their own: `genjax sample` has others.
PROBE = """
import sys, jax, numpy as np
from pathlib import Path
try:
    from genjax import load
except ImportError:
    from genjax.training.run import load
run = load(Path(sys.argv[1]), sys.argv[2])
x = run.experiment.model.sample(run.state.averaged, jax.random.key(7), 8)
leaves = jax.tree.leaves(run.state.variables)
np.savez(sys.argv[3], x, *map(np.asarray, leaves))
"""


@pytest.fixture(scope='module')
def old_code(tmp_path_factory):
    archive = subprocess.run(['git', 'archive', COMMIT], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f'the history of this clone does not have {COMMIT}')
    folder = tmp_path_factory.mktemp('old')
    subprocess.run(['tar', 'x', '-C', str(folder)], input=archive.stdout, check=True)
    return folder


def python(root, *words):
    """Runs Python with the code of a folder."""
    environment = os.environ | {'PYTHONPATH': str(root), 'XLA_FLAGS': ''}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=root, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def losses(workdir):
    records = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    return [{n: v for n, v in r.items() if n.endswith(('loss', 'grad_norm'))} for r in records]


@pytest.mark.full
@pytest.mark.parametrize('name', ['digits/linear', 'digits/flow_matching', 'gaussians/ring'])
def test_a_run_of_older_code_loads_samples_and_resumes_bit_for_bit(old_code, tmp_path, name):
    old, new = tmp_path / 'old', tmp_path / 'new'
    train = ['-m', 'genjax', 'train', f'--workdir={old}', f'--config=configs/{name}.py']
    python(old_code, *train, '--config.steps=3', *QUICK)
    shutil.copytree(old, new)
    python(old_code, *train, '--config.steps=6', *QUICK)
    resumed = ['-m', 'genjax', 'train', f'--workdir={new}', f'--config={new}/config.json']
    python(ROOT, *resumed, '--config.steps=6')
    assert losses(new) == losses(old) and len(losses(new)) == 6
    for step in ('3', '6'):
        python(old_code, '-c', PROBE, old, step, tmp_path / 'old.npz')
        python(ROOT, '-c', PROBE, new, step, tmp_path / 'new.npz')
        then, now = np.load(tmp_path / 'old.npz'), np.load(tmp_path / 'new.npz')
        assert then.files == now.files
        assert all(np.array_equal(then[each], now[each]) for each in then.files)
