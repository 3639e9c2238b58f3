"""Training by a user whom the machine does not know, as in a container with any user id."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.training.conftest import arguments, steps_saved
from tests.training.processes import free_port

ROOT = Path(__file__).parents[2]
USER = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups']
PYTHON = [sys.executable, '-W', 'ignore::DeprecationWarning']


def has_user():
    """Returns whether such a user can be played here, and can read this Python."""
    if os.geteuid() or not shutil.which('setpriv'):
        return False
    return not subprocess.run([*USER, *PYTHON, '-c', 'import jax'], capture_output=True).returncode


pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        not has_user(), reason='needs root, setpriv, and a Python that all can read'
    ),
]


@pytest.fixture
def runs():
    """A folder that all users may write; those of `tmp_path` are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.mark.parametrize('home', [{'HOME': '/nowhere'}, {}])
def test_two_processes_train_and_one_samples(home, runs):
    """Neither a home folder nor a cache can be written."""
    environment = {
        'PATH': os.environ['PATH'],
        'PYTHONPATH': str(ROOT),
        'JAX_PLATFORMS': 'cpu',
        **home,
    }

    def start(*words):
        """Starts a command of that user."""
        command = [*USER, *PYTHON, '-m', 'genjax', *words, '--trust=tests.training.tiny']
        options = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        return subprocess.Popen(command, env=environment, cwd=ROOT, **options)

    words = arguments(runs / 'run', steps=2)
    together = (f'--coordinator=localhost:{free_port()}', '--num_processes=2')

    def ended(process):
        lines = process.communicate(timeout=600)[1].splitlines()
        return process.returncode, [line for line in lines if 'Gloo' not in line]

    started = [start(*words, *together, f'--process_id={index}') for index in range(2)]
    assert [ended(process) for process in started] == [(0, [])] * 2
    sample = start('sample', f'--workdir={runs / "run"}', '--num=2', f'--out={runs / "x.npz"}')
    assert ended(sample) == (0, [])
    assert steps_saved(runs / 'run') == [2]
    assert (runs / 'run' / 'config.json').stat().st_uid == 54321
