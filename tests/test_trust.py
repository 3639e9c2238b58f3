"""What a folder of a stranger may do: nothing that its owner did not allow."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genjax import config as configs
from genjax.cli import main
from genjax.config import trust
from genjax.errors import UserError

ROOT = Path(__file__).parent.parent
TARGET = configs.TARGET
SHORT = [
    '--config.steps=2', '--config.steps_per_call=1', '--config.batch_size=8',
    '--config.evals={}', '--config.checkpoint_every=2', '--config.log_every=1',
    '--config.sample_every=0', '--config.best=None',
    '--config.num_samples=4',
]  # fmt: skip


@pytest.fixture(autouse=True)
def stranger(monkeypatch, tmp_path):
    """A user who has named nothing yet, in a process that has imported nothing of theirs."""
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'home'))
    for name in ('_named', '_own', '_given', '_used', '_folders'):
        monkeypatch.setattr(trust, name, type(getattr(trust, name))())
    monkeypatch.setattr(configs.origin, '_current', None)
    modules, path = dict(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        if getattr(sys.modules[name], '__file__', None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


@pytest.fixture(scope='module')
def digits():
    """The config of a run, as it lies in a folder."""
    return json.dumps(configs.to_json(configs.load(str(ROOT / 'configs/digits/vae.py'))))


def put(config, path, value):
    *parents, last = path
    for key in parents:
        config = config[key]
    config[last] = value


def call(name, /, **fields):
    return {TARGET: name, **fields}


TOUCH = 'touch was_run'


@pytest.mark.parametrize(
    ('path', 'value', 'named'),
    [
        (['wandb'], call('os.system', command=TOUCH), 'os.system'),
        (['wandb'], '@os.system', 'os.system'),
        (['model', 'encoder'], call('os.system', command=TOUCH), 'os.system'),
        (['model', 'encoder', 'features'], [4, [call('os.system', command=TOUCH)]], 'os.system'),
        (['unknown'], {'deep': [1, {'er': call('os.system', command=TOUCH)}]}, 'os.system'),
        (['evals', 'x'], '@subprocess.run', 'subprocess.run'),
        (['dataset'], call('genjax.files.os.system', command=TOUCH), 'genjax.files.os'),
        (['dataset'], call('genjax.files.shutil.rmtree', path='.'), 'genjax.files.shutil'),
        (['dataset'], call('genjax.data.latents.os.system', command=TOUCH), 'genjax.data.latents'),
        (['dataset'], call('genjax.data.latents.write', path='x'), 'genjax.data.latents.write'),
        (['dataset'], call('genjax.files.write_json', path='was_run', content=1), 'write_json'),
        (['dataset'], call('genjax.config.files.call', path='x.py', function='f'), 'files.call'),
        (['dataset'], call('genjax.cli.main', argv=['data', 'list']), 'genjax.cli.main'),
        (['dataset'], call('genjax.training.loop.train', config=1, workdir='x'), 'loop.train'),
        (['dataset'], call('genjax.training.writers.MetricWriter', workdir='x', step=0), 'Writer'),
        (['dataset'], call('genjax.training.checkpoints.Checkpoints', path='x'), 'Checkpoints'),
        (['dataset'], call('flax.x.os.system', command=TOUCH), 'flax.x.os.system'),
        (['dataset'], call('flax.io.rmtree', path='.'), 'flax.io.rmtree'),
        (['dataset'], call('flax.linen.module.os.system', command=TOUCH), 'flax.linen.module.os'),
        (['optimizer'], call('optax._src.base.os.system', command=TOUCH), 'optax._src'),
        (['optimizer'], call('optax._src.alias.adam', learning_rate=1.0), 'optax._src'),
        (['optimizer'], call('optax.functools.partial'), 'optax.functools'),
        (['dataset'], call('genjax.data.TFDS', name='antigravity.Evil'), 'antigravity.Evil'),
        (['dataset'], call(['os.system']), 'os.system'),
        (['dataset'], call('os.system; x'), 'os.system; x'),
        (['dataset'], call('..os.system'), '..os.system'),
        (['dataset'], call('system'), 'system'),
        (['dataset'], call('evil.Data'), 'evil.Data'),
        # Right names in the wrong place.
        (['wandb'], call('optax.adam', learning_rate=1.0), 'config.wandb'),
        (['wandb'], '@optax.adam', 'config.wandb'),
        (['steps'], '@genjax.models.VAE', 'config.steps'),
        (['steps'], call('optax.constant_schedule', value=1.0), 'config.steps'),
        (['dataset'], call('optax.adam', learning_rate=1.0), 'config.dataset'),
        (['dataset'], call('genjax.data.batch_indices', size=1), 'config.dataset'),
        (['dataset'], call('genjax.models.vae.StandardNormal'), 'config.dataset'),
        (['model'], call('genjax.data.Digits'), 'config.model'),
        (['preprocess'], call('genjax.training.MeshShape'), 'config.preprocess'),
        (['optimizer'], {'fit': call('genjax.data.Digits')}, 'config.optimizer.fit'),
        (['evals', 'x'], call('genjax.data.TFDS', name='mnist'), 'config.evals.x'),
        (['ema'], [call('genjax.data.Digits')], 'config.ema[0]'),
    ],
    ids=str,
)
def test_a_saved_config_builds_only_what_is_offered_and_fits(digits, tmp_path, path, value, named):
    (tmp_path / 'evil.py').write_text("open('was_run', 'w')\nclass Data: pass\n")
    config = json.loads(digits)
    put(config, path, value)
    (tmp_path / 'config.json').write_text(json.dumps({'config': config}))
    before = set(sys.modules)
    with pytest.raises(UserError) as error:
        configs.build(configs.load('config.json'))
    assert named in str(error.value) and '\n' not in str(error.value)
    assert not Path('was_run').exists()
    assert not {'evil', 'antigravity'} & (set(sys.modules) - before)


def test_the_line_says_how_to_allow_it(digits, capsys):
    config = json.loads(digits) | {'wandb': call('os.system', command=TOUCH)}
    Path('run').mkdir()
    record = {'id': 'x', 'fingerprint': '', 'data': '', 'preprocess': {}, 'example': {}}
    Path('run/config.json').write_text(json.dumps({**record, 'config': config, 'starts': []}))
    for words in (
        ['sample', '--workdir=run', '--out=grid.png'],
        ['export', '--workdir=run', '--out=out'],
        ['evaluate', '--workdir=run'],
        ['encode', '--workdir=run', '--out=codes'],
        ['train', '--config=run/config.json', '--workdir=new'],
        ['plan', '--config=run/config.json', '--topology=cpu-8'],
        ['sweep', '--config=run/config.json', '--sweep=seeds(2)', '--workdir=new'],
    ):
        assert main(words) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert 'config.wandb names os.system' in lines[0] and '--trust=os' in lines[0]
    assert not Path('was_run').exists() and not Path('new').exists()


def lab(folder, width=4):
    """A folder with a config and the modules that it imports."""
    folder.mkdir(parents=True)
    (folder / 'widths_of_test.py').write_text(f'WIDTH = {width}\n')
    (folder / 'nets_of_test.py').write_text(
        'import jax\n\nfrom genjax.networks import MLP\n\n\nclass Mine(MLP):\n    pass\n'
    )
    text = (ROOT / 'configs/digits/vae.py').read_text('utf-8')
    text = text.replace('import optax', 'import optax\nfrom nets_of_test import Mine', 1)
    text = text.replace('import optax', 'import optax\nfrom widths_of_test import WIDTH', 1)
    assert 'encoder=MLP(' in text
    text = text.replace('encoder=MLP(', 'encoder=Mine(', 1)
    (folder / 'vae.py').write_text(text)
    return folder / 'vae.py'


def forget():
    """Makes this process one that has not imported or named anything of the user's."""
    for name in ('_named', '_own', '_given', '_used', '_folders'):
        getattr(trust, name).clear()
    for name in ('nets_of_test', 'widths_of_test'):
        sys.modules.pop(name, None)


@pytest.mark.full
def test_a_run_with_modules_beside_its_config_is_found_again_by_its_user(
    tmp_path, monkeypatch, capsys
):
    """Also with a colon and a blank in the path, and from another current folder."""
    config = lab(tmp_path / 'my lab:x')
    assert main(['train', f'--config={config}', '--workdir=run', *SHORT]) == 0
    start = json.loads(Path('run/config.json').read_text())['starts'][-1]
    assert start['source']['file'] == str(config)
    assert start['source']['path'] == [str(config.parent), str(tmp_path)]
    assert start['host'] and 'commit' in start['source'] and start['command']

    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    forget()
    sample = ['sample', '--workdir=../run', '--num=4', '--out=grid.png']
    assert main(sample) == 0
    assert main(['evaluate', '--workdir=../run', '--evals=@genjax.evaluation.Reconstruction']) == 0

    # Another user, or the same on another machine, is asked.
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'other'))
    forget()
    capsys.readouterr()
    assert main(sample) == 2
    error = capsys.readouterr().err
    assert 'nets_of_test.Mine' in error and f"'--trust={config.parent}'" in error
    assert 'nets_of_test' not in sys.modules
    assert main([*sample, f'--trust={config.parent}']) == 0
    forget()
    assert main(sample) == 0  # remembered


def test_the_modules_of_the_folder_that_a_run_was_begun_with(tmp_path):
    """Two folders have a module of one name: each run gets its own."""
    for name in ('a', 'b'):
        config = configs.load(str(lab(tmp_path / name)))
        configs.build(config)
        trust.remember(trust.needed(config))
        saved = {'config': configs.to_json(config), 'source': configs.origin.current()}
        Path(f'{name}.json').write_text(json.dumps(saved))
        forget()
        sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path / name)]
    configs.load('a.json')
    assert sys.modules['nets_of_test'].__file__ == str(tmp_path / 'a' / 'nets_of_test.py')


def test_a_folder_that_is_only_named_in_a_record_is_not_imported_from(tmp_path, digits):
    config = json.loads(digits)
    config['model']['encoder'][TARGET] = 'nets_of_test.Mine'
    lab(tmp_path / 'evil')
    saved = {'config': config, 'source': {'path': [str(tmp_path / 'evil')]}}
    Path('saved.json').write_text(json.dumps(saved))
    with pytest.raises(UserError, match=r'nets_of_test\.Mine'):
        configs.load('saved.json')
    # Nor is a name that the user trusts found in it.
    trust.give([trust.Item('nets_of_test')])
    with pytest.raises(UserError, match='cannot import'):
        configs.load('saved.json')


def test_what_is_trusted_is_a_package_a_module_a_folder_or_one_name(tmp_path):
    (tmp_path / 'pack' / 'sub').mkdir(parents=True)
    (tmp_path / 'pack' / '__init__.py').write_text('')
    (tmp_path / 'pack' / 'sub' / '__init__.py').write_text('from os import system\nclass A: pass\n')
    (tmp_path / 'os.py').write_text('')
    (item,) = trust.parse(['pack'])
    assert item == trust.Item('pack', str(tmp_path))  # that of the current folder, and no other
    assert item.holds('pack.sub.A') and not item.holds('packs.A') and not item.holds('os.system')
    folder = trust.Item.parse(str(tmp_path))
    assert folder.holds('pack.sub.A') and not folder.holds('os.system')
    name = trust.Item.parse('pack.sub.A')
    assert name.holds('pack.sub.A') and not name.holds('pack.sub.B')
    for known in (folder, name, item):
        assert trust.Item.parse(str(known)) == known
    for text in ('', 'a b', '@', '/no/such/folder', 'a@/no/such/folder'):
        with pytest.raises(UserError, match='--trust'):
            trust.Item.parse(text)
    trust.give([folder])
    assert trust.import_path('pack.sub.A').__name__ == 'A'
    with pytest.raises(UserError, match='is not defined there'):
        trust.import_path('pack.sub.system')


def test_what_lies_in_the_current_folder_or_beside_the_config_hides_no_package(tmp_path):
    """By the command and by `python -m genjax`; a module that is nowhere else is found."""
    beside = tmp_path / 'lab'
    beside.mkdir()
    for folder in (tmp_path, beside):
        for name in ('optax', 'traceback', 'numpy', 'genjax_is_not_this'):
            (folder / f'{name}.py').write_text("open('was_run', 'w')\n")
    (beside / 'helper_of_test.py').write_text('HERE = 1\n')
    (beside / 'config.py').write_text(
        'import numpy, optax, traceback\nimport helper_of_test\nraise ValueError(optax.__file__)\n'
    )
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    for start in (['-m', 'genjax'], ['-c', 'from genjax.cli import main; main()']):
        # What `-c` puts first is not what the installed command has there.
        options = ['-P'] if start[0] == '-c' else []
        done = subprocess.run(
            [sys.executable, *options, *start, 'train', '--config=lab/config.py', '--workdir=run'],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert 'lab/config.py:3: ValueError:' in done.stderr and 'site-packages' in done.stderr
    assert not (tmp_path / 'was_run').exists()


def test_every_process_that_genjax_starts_leaves_out_the_current_folder():
    for path in [*(ROOT / 'genjax').rglob('*.py'), ROOT / 'launch' / 'slurm.sh']:
        for line in path.read_text('utf-8').splitlines():
            if ('sys.executable,' in line and "'-" in line) or '"$python" -' in line:
                assert '-P' in line, f'{path}: {line}'


def test_files_of_data_import_no_module(tmp_path):
    """TFDS imports the module of a feature's class, which a prepared folder names."""
    from genjax.data import tfds_store

    (tmp_path / 'evil_of_test.py').write_text("open('was_run', 'w')\n")
    sys.path.append(str(tmp_path))
    folder = tmp_path / 'data' / 'mine' / '1.0.0'
    folder.mkdir(parents=True)
    features = {'featuresDict': {'features': {'x': {'pythonClassName': 'evil_of_test.Image'}}}}
    (folder / 'features.json').write_text(
        json.dumps(features).replace('pythonClassName', 'python\\u0043lassName')
    )
    for read in (
        lambda: tfds_store.open_builder('mine', str(tmp_path / 'data')),
        lambda: tfds_store.prepare('mine', str(tmp_path / 'data')),
        lambda: tfds_store.read_builder(folder),
    ):
        with pytest.raises(UserError, match=r'evil_of_test\.Image'):
            read()
    assert not Path('was_run').exists() and 'evil_of_test' not in sys.modules


@pytest.mark.parametrize('link', ['.lock', 'metrics.jsonl', 'evaluations', 'samples'])
def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path, link):
    from genjax.training import workdir

    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'file').write_text('precious')
    run = tmp_path / 'run'
    run.mkdir()
    (run / 'config.json').write_text('{}')
    target = tmp_path / 'mine'
    (run / link).symlink_to(target if link in ('evaluations', 'samples') else target / 'file')
    with pytest.raises(UserError, match='is a link to'), workdir.locked(run):
        pass
    assert (target / 'file').read_text() == 'precious' and len(list(target.iterdir())) == 1
    # The folder itself may be a link, and links may lead to what lies in it.
    (run / link).unlink()
    (run / 'latest').symlink_to('config.json')
    (tmp_path / 'link').symlink_to(run)
    with workdir.locked(tmp_path / 'link'):
        pass


def test_a_name_in_a_file_reaches_no_terminal_as_a_command(capsys, digits):
    config = json.loads(digits) | {'wandb': call('evil.\x1b]0;title\x07')}
    Path('config.json').write_text(json.dumps(config))
    assert main(['train', '--config=config.json', '--workdir=new']) == 2
    assert '\x1b' not in capsys.readouterr().err
    Path('config.json').write_text(json.dumps(json.loads(digits) | {'a\x1b[31m\u202e': 1}))
    assert main(['train', '--config=config.json', '--workdir=new']) == 2
    assert not set('\x1b\u202e') & set(capsys.readouterr().err)


def test_no_part_unpickles_or_runs_text():
    """What reads files has no way to make code of them."""
    risky = (
        r'\bpickle\b|allow_pickle=True|yaml\.(unsafe_)?load|\beval\(|\bexec\(|extractall|shell=True'
    )
    for path in (ROOT / 'genjax').rglob('*.py'):
        for line in path.read_text('utf-8').splitlines():
            assert not re.search(risky, line), f'{path}: {line}'


def test_an_optional_package_is_not_taken_from_the_current_folder(tmp_path):
    (tmp_path / 'extra_of_test.py').write_text("open('was_run', 'w')\n")
    (tmp_path / 'logs_of_test').mkdir()
    assert not trust.is_installed('extra_of_test')
    trust.on_path(tmp_path)
    assert not trust.is_installed('extra_of_test') and not trust.is_installed('logs_of_test')
    assert trust.is_installed('PIL') and trust.is_installed('colorsys')
    assert not Path('was_run').exists()
