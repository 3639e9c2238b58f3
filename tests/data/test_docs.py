"""The builder that docs/data.md shows works as it stands."""

import re
from pathlib import Path

from genjax import cli, data

PAGE = Path(__file__).parents[2] / 'docs/data.md'


def test_the_builder_of_the_page(tmp_path, monkeypatch):
    (code,) = re.findall(r'```python\n(# spirals\.py\n.*?)```', PAGE.read_text(), re.DOTALL)
    (tmp_path / 'spirals.py').write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    dataset = data.TFDS('spirals.Spirals', data_dir=str(tmp_path))
    assert (dataset.event_shape, dataset.num_classes) == ((2,), 2)
    assert len(dataset.source('train')) == 4500
    out = tmp_path / 'spirals.png'
    arguments = ['data', 'show', 'spirals.Spirals', f'--out={out}', f'--data_dir={tmp_path}']
    assert cli.main(arguments) == 0
    assert out.exists()
