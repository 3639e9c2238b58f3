import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from genjax import cli
from genjax.data import tfds_store
from genjax.data.builders import BUNDLED


def test_list_names_what_is_there_and_what_could_be(tmp_path, capsys):
    tfds_store.prepare('toys.Toy', str(tmp_path))
    assert cli.main(['data', 'list', f'--data_dir={tmp_path}']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['name', 'examples', 'shape', 'of', 'x', 'size', 'where']
    rows = {line.split()[0]: line for line in lines[1:]}
    assert list(rows) == sorted([*BUNDLED, 'toy'])
    assert all('prepared on first use' in rows[name] for name in BUNDLED)
    for part in ('train 50, test 7', '4×6×3', str(tmp_path / 'toy/1.0.0')):
        assert part in rows['toy']


def test_prepare(tmp_path, capsys):
    for _ in range(2):  # the second time there is nothing to do
        assert cli.main(['data', 'prepare', 'digits', f'--data_dir={tmp_path}']) == 0
        assert str(tmp_path / 'digits/1.0.0') in capsys.readouterr().out
    assert (tmp_path / 'digits/1.0.0/dataset_info.json').exists()


@pytest.mark.parametrize('name', ['digits', 'gaussians/grid', 'toys.Toy'])
def test_show(name, tmp_path, capsys):
    out = tmp_path / 'picture.png'
    assert cli.main(['data', 'show', name, f'--out={out}', '--num=20', '--split=validation']) == 0
    expected = 5 if name == 'toys.Toy' else 20
    assert f'{out}: {expected} of the' in capsys.readouterr().out
    picture = np.asarray(Image.open(out))
    assert min(picture.shape[:2]) > 60
    assert picture.std() > 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['show', 'digits', '--out=x.foo'], 'x.foo: images are written as .png'),
        (['show', 'digits', '--out=x.png', '--num=0'], '--num=0 must be positive'),
        (
            ['show', 'digits', '--out=x.png', '--split=tset'],
            "no split 'tset'; did you mean 'test'?",
        ),
        (['show', 'mnist', '--out=x.png'], 'run `genjax data prepare mnist'),
        (['prepare', 'mnits'], "no data set 'mnits'"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if 'mn' in arguments[1]:
        arguments = [*arguments, f'--data_dir={tmp_path}']
    assert cli.main(['data', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('genjax: error: ') and error.count('\n') == 1
    assert message in error
    assert list(tmp_path.glob('x.*')) == []


def test_help_imports_nothing_heavy():
    code = """
import sys
from genjax import cli
try:
    cli.main(['data', 'show', '--help'])
finally:
    assert not {'jax', 'numpy', 'tensorflow_datasets'} & set(sys.modules)
"""
    output = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (output.returncode, output.stderr) == (0, '')
    assert '--split' in output.stdout
