"""The commands that README and docs show: cheap ones are run, others are read up to their work."""

import importlib
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from genjax import config as configs
from genjax.cli import COMMANDS, main
from genjax.sweeps import combinators as sweep_words
from genjax.sweeps.trials import trials_of

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]

NEED_MORE = {
    '…': 'stands for something',
    'srun': 'a Slurm cluster',
    'kubectl': 'a Kubernetes cluster',
    'scancel': 'a Slurm cluster',
    'tensorboard': 'a browser',
    'docker': 'Docker',
    'gcloud': 'a TPU pod',
    'GENJAX_EXTRAS': 'an installation',
}
"""What a command shows that cannot be run here, and what it needs."""

STORES = {'gs://': 'gcsfs', 's3://': 's3fs'}

TINY = [
    '--config.steps=2', '--config.steps_per_call=1', '--config.batch_size=8',
    '--config.evals={}', '--config.checkpoint_every=2', '--config.log_every=1',
    '--config.sample_every=0', '--config.best=None',
    '--config.num_samples=4',
]  # fmt: skip


def commands():
    """Every command in an indented block, with its page."""
    found = []
    for page in PAGES:
        text = re.sub(r'```.*?```', '', page.read_text('utf-8'), flags=re.DOTALL)
        text = re.sub(r'\\\n +', '', text)
        for line in re.findall(r'^ {4}(\S.*)$', text, re.MULTILINE):
            words = shlex.split(line, comments=True) if line.count("'") % 2 == 0 else line.split()
            if (
                words
                and Path(words[0]).name
                in (
                    'genjax',
                    'local.sh',
                    'python',
                    'python3',
                    'pytest',
                )
            ) or (words and words[0] in NEED_MORE):
                found.append((page.name, line, words))
    return found


SHOWN = commands()


def is_runnable(line):
    return not any(word in line for word in NEED_MORE)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A clone to stand in: its folders are seen, and what is written goes elsewhere."""
    for name in ('configs', 'launch', 'experiments', 'benchmarks'):
        (tmp_path / name).symlink_to(ROOT / name)
    blocks = re.findall(
        r'```python\n(.*?)```', (ROOT / 'docs' / 'your_model.md').read_text('utf-8'), re.DOTALL
    )
    for name, block in zip(('mixture', 'mixture_config'), blocks, strict=False):
        (tmp_path / f'{name}.py').write_text(block)
    spirals = re.search(
        r'```python\n# spirals.py\n(.*?)```',
        (ROOT / 'docs' / 'data.md').read_text('utf-8'),
        re.DOTALL,
    )
    (tmp_path / 'spirals.py').write_text(spirals[1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_page_is_read():
    commands = {words[1] for _, _, words in SHOWN if Path(words[0]).name in ('genjax', 'local.sh')}
    assert {'train', 'sample', 'evaluate', 'sweep', 'report', 'plan', 'data', 'encode'} <= commands
    assert len(SHOWN) > 30
    assert sum(not is_runnable(line) for _, line, _ in SHOWN) < len(SHOWN) / 3


def test_every_command_is_one(here, monkeypatch, capsys):
    """Its options are known, its config is there and takes its overrides, its sweep has trials."""
    parsed = {}
    for command in COMMANDS:
        module = importlib.import_module(f'genjax.cli.{command}')
        monkeypatch.setattr(
            module, 'run', lambda args, command=command: parsed.update({command: args})
        )
    loaded = {}
    for page, line, words in SHOWN:
        if not is_runnable(line):
            continue
        program, *words = words
        if program.endswith('python'):
            if words[0] == '-m':
                words = [words[1].replace('.', '/') + '.py', *words[2:]]
            assert (ROOT / words[0]).is_file(), f'{page}: {line}'
            text = (ROOT / words[0]).read_text('utf-8')
            options = [word.partition('=')[0] for word in words[1:] if word.startswith('--')]
            assert all(f"'{option}'" in text for option in options), f'{page}: {line}'
            continue
        if words[0] == 'test':
            continue
        if any(prefix in line and not find_spec(name) for prefix, name in STORES.items()):
            continue  # needs the extra gcs or s3
        parsed.clear()
        assert main(words) == 0, f'{page}: {line}: {capsys.readouterr().err}'
        (args,) = parsed.values()
        if getattr(args, 'config', None):
            key = (args.config, tuple(args.overrides))
            config = loaded[key] = loaded.get(key) or configs.load(args.config, args.overrides)
            if words[0] == 'sweep':
                text = getattr(args, 'sweep', None)
                sweep = sweep_words.parse(text) if text else configs.call(args.config, 'sweep')
                assert trials_of(config, sweep), f'{page}: {line}'


def shown(start):
    """The command of the docs that begins so, without `genjax`."""
    (words, *_) = [w for _, line, w in SHOWN if ' '.join(w[1:]).startswith(start)]
    return words[1:]


@pytest.mark.slow
def test_the_cheap_ones_run(here, capsys):
    """The five minutes of the README with two steps, data sets, one's own builder, and clusters."""
    for start, more in (
        ('train --config=configs/digits/vae.py', TINY),
        ('sample --workdir=runs/vae', []),
        ('evaluate --workdir=runs/vae', ['--evals=@genjax.evaluation.Likelihood']),
        ('train --config=configs/digits/vae.py --workdir=runs/fine', TINY),
        ('export --workdir=runs/flow --out=flow_weights', []),
        ('data list', []),
        ('data show digits', []),
        ('report runs/beta --out=beta.html', []),
    ):
        words = shown(start)
        if words[0] == 'report':
            words[1] = 'runs/vae'
        if words[0] == 'export':
            words[1] = '--workdir=runs/fine'
        assert main([*words, *more]) == 0, capsys.readouterr().err
    for file in ('grid.png', 'digits.png', 'beta.html'):
        assert (here / file).stat().st_size > 100
    # Of the page on data: the builder that it has the reader write.
    assert main(['data', 'show', 'spirals.Spirals', '--out=spirals.png']) == 0
    # For Kubernetes: the data are where the pods are.
    words = shown('sweep --config=configs/imagenet256/dit_xl2.py')
    words = [f'--workdir={here}/seeds' if w.startswith('--workdir') else w for w in words]
    assert main([*words, '--config.model.network.num_layers=1']) == 0, capsys.readouterr().err
    assert len(list((here / 'jobs').glob('*.yaml'))) == 4


def test_advice_is_a_command_that_works():
    """Extras come from this checkout: the distribution is not on the package index."""
    for path in [*(ROOT / 'genjax').rglob('*.py'), *PAGES]:
        assert not re.search(r'install.{0,3}genjax-research', path.read_text('utf-8')), path
    from genjax.errors import how_to_install

    (_, script, *_), (*_, package) = (shlex.split(p) for p in how_to_install('ode').split(', or '))
    assert Path(script).is_file() and package.endswith('[ode]')
