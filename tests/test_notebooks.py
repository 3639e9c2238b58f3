"""The notebooks of the documentation run from top to bottom."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from genjax import cli

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / 'docs/notebooks').glob('*.ipynb'))


@pytest.mark.full
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('jax.device_count', lambda: 1)  # eight devices are for other tests
    if path.stem == 'load_and_guide':
        config = ROOT / 'configs/digits/flow_matching.py'
        words = [f'--config={config}', '--workdir=runs/flow', '--config.steps=1000']
        assert cli.main(['train', *words]) == 0
    names = {}
    for cell in json.loads(path.read_text('utf-8'))['cells']:
        if cell['cell_type'] == 'code':
            exec(compile(''.join(cell['source']), path.name, 'exec'), names)
    plt.close('all')
