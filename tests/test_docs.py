"""The documentation's code does what the documentation says."""

import json
import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

import genjax
from genjax import config as configs
from genjax.cli import main

DOCS = Path(__file__).parent.parent / 'docs'


def code_blocks(page):
    return re.findall(r'```python\n(.*?)```', (DOCS / page).read_text('utf-8'), re.DOTALL)


@pytest.mark.slow
def test_your_own_model(tmp_path, monkeypatch):
    """The page's model is at most 40 lines long and is trained and evaluated by its config."""
    model, config, network = code_blocks('your_model.md')
    exec(compile(network, 'your_model.md', 'exec'), {'__name__': 'network'})
    assert len(model.splitlines()) <= 40
    (tmp_path / 'mixture.py').write_text(model)
    (tmp_path / 'mixture_config.py').write_text(config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    command = ['--config=mixture_config.py', '--workdir=run', '--config.steps=1000']
    assert main(['train', *command]) == 0
    evals = json.loads(Path('run/evaluations/1000.json').read_text())['evals']
    assert evals['nll']['results']['kind'] == 'exact'
    assert evals['modes']['results']['modes'] >= 20
    # The data's own entropy: log 25 for the component and a Gaussian of scale .05 in the plane.
    assert 0.0 < evals['nll']['results']['nll'] < 3.5


def test_every_other_python_block_runs():
    for page in sorted(DOCS.glob('*.md')):
        if page.name not in ('your_model.md', 'data.md'):
            names = {'__name__': page.stem}
            for block in code_blocks(page.name):
                exec(compile(block, page.name, 'exec'), names)


def test_the_overrides_that_the_readme_shows_fit_their_configs():
    from genjax import config

    text = (DOCS.parent / 'README.md').read_text('utf-8').replace('\\\n', '')
    shown = re.findall(r'train +--config=(\S+)(.*)', text)
    overrides = [re.findall(r'--config\.(\S+?)=(\S+)', rest) for _, rest in shown]
    assert any(overrides)
    for (path, _), fields in zip(shown, overrides, strict=True):
        config.load(str(DOCS.parent / path), fields)


def test_every_config_is_described_and_resolves():
    from genjax import config

    for path in sorted((DOCS.parent / 'configs').rglob('*.py')):
        assert isinstance(config.load(str(path)), ConfigDict), path
        text = path.read_text('utf-8')
        assert f'--config=configs/{path.relative_to(DOCS.parent / "configs")}' in text, path
        assert 'xpected' in text or 'ublished' in text, f'{path}: the docstring names a figure'


def test_every_test_that_the_table_of_promises_names_exists():
    pages = (DOCS / 'testing.md', DOCS.parent / 'SECURITY.md')
    text = ''.join(page.read_text('utf-8') for page in pages)
    named = re.findall(r'`(tests/\S+\.py)::(\w+)`', text)
    assert len(named) > 50
    for path, name in named:
        file = DOCS.parent / path
        assert file.exists() and f'\ndef {name}(' in file.read_text('utf-8'), f'{path}::{name}'


@pytest.mark.slow
def test_the_python_of_the_readme(tmp_path, monkeypatch):
    (block,) = re.findall(
        r'```python\n(.*?)```', (DOCS.parent / 'README.md').read_text('utf-8'), re.DOTALL
    )
    assert len(block.splitlines()) <= 20
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('jax.device_count', lambda: 1)  # eight devices are for other tests
    for name, config in (('flow', 'flow_matching'), ('vae', 'vae')):
        made = configs.load(f'{DOCS.parent}/configs/digits/{config}.py', [('steps', '20')])
        with made.ignore_type():
            made.evals, made.best = ConfigDict(), None
        assert genjax.train(made, f'runs/{name}').step == 20
    names = {}
    exec(compile(block, 'README.md', 'exec'), names)
    assert names['x'].shape == names['y'].shape == (64, 8, 8, 1)
    assert 0 <= names['results']['c2st/accuracy'] <= 1
    assert names['log_prob'].kind == 'lower_bound' and names['log_prob'].value.shape == (8,)
    assert names['codes'].shape == (8, 16) and names['line'].shape == (8, 8, 8, 1)


def test_every_claim_has_a_verdict_and_a_study():
    _, _, *rows = re.findall(r'^\|.*\|$', (DOCS / 'claims.md').read_text('utf-8'), re.MULTILINE)
    assert rows
    for row in rows:
        claim, verdict, number, study = (cell.strip() for cell in row.strip('|').split(' | '))
        assert claim and re.match('supported|falsified|undecided', verdict), row
        assert re.search(r'\d', number), row
        (path,) = re.findall(r'\]\(\.\./(experiments/\S+?/README\.md)\)', study)
        assert (DOCS.parent / path).is_file(), path
