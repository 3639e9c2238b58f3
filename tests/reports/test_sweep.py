"""A report of a sweep that was really run."""

import os
import subprocess
import sys

import pytest

from genjax.cli import main
from genjax.reports import report, table

pytestmark = pytest.mark.slow


@pytest.mark.full
def test_a_tiny_sweep(tmp_path, capsys):
    folder = tmp_path / 'tiny'
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XDG_CACHE_HOME': str(tmp_path / 'cache')}
    words = ['--config=tests/sweeps/config.py', f'--workdir={folder}', '--max_parallel=2']
    words.append('--sweep=zip(model.beta=[.5,2.], seed=[0,1])')
    done = subprocess.run(
        [sys.executable, '-m', 'genjax', 'sweep', *words],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    rows = table.rows(report.make(folder))
    assert [(row['model.beta'], row['seed']) for row in rows] == [(0.5, 0), (2.0, 1)]
    for row in rows:
        assert row['config_fingerprint'].startswith(row['id'])
        assert (row['status'], row['step'], row['devices']) == ('complete', 12, 8)
        assert row['seconds'] > 0 and row['device_hours'] == row['seconds'] * 8 / 3600
        assert row['vae/loss'] > 0 and len(row['data_fingerprint']) == 64
    assert main(['report', str(folder)]) == 0
    assert '2 trials: 2 complete.' in capsys.readouterr().out
