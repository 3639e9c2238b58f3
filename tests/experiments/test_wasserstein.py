"""The study of `experiments/wasserstein`: both players of `configs/gaussians/wgan_gp.py`."""

import os
import subprocess
import sys

import pytest

from genjax.training import loading as runs
from genjax.training.results import cached_results

pytestmark = pytest.mark.slow


@pytest.mark.full
@pytest.mark.parametrize('seed', [0, 1])
def test_samples_end_near_the_data(tmp_path, monkeypatch, seed):
    """Compiled as users do: the players amplify rounding."""
    words = ['--config=configs/gaussians/wgan_gp.py', f'--workdir={tmp_path / "run"}']
    subprocess.run(
        [sys.executable, '-m', 'genjax', 'train', *words, f'--config.seed={seed}'],
        env={**os.environ, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '0', 'XLA_FLAGS': ''},
        check=True,
    )
    monkeypatch.setattr('jax.device_count', lambda: 1)
    assert cached_results(runs.load(tmp_path / 'run'))['w1/exact'] <= 0.35
