import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import genjax
from genjax import cli
from genjax.cli import process, runtime
from genjax.errors import Interrupted, UserError

HEAVY = {'jax', 'jaxlib', 'numpy', 'ml_collections', 'flax', 'optax', 'tensorflow_datasets', 'rich'}


@pytest.fixture
def ran(monkeypatch):
    """Replaces every command by one that records its arguments; `ran.error` makes it fail."""
    record = SimpleNamespace(args=None, error=None)

    def add_arguments(parser):
        parser.add_argument('--config')
        parser.add_argument('--workdir')

    def run(args):
        record.args = args
        if record.error:
            raise record.error

    command = SimpleNamespace(HELP='does it', add_arguments=add_arguments, run=run)
    monkeypatch.setattr(cli, '_module', lambda name: command)
    return record


def imported_by(code):
    """The modules in `sys.modules` after running `code` in a new process."""
    code = f'import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))'
    output = subprocess.run(
        [sys.executable, '-c', code], check=True, capture_output=True, text=True
    ).stdout
    return set(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize(
    'words', [['--help'], ['--version'], *([command, '--help'] for command in cli.COMMANDS)]
)
def test_help_imports_nothing_heavy(words):
    code = f"""
from genjax.cli import main
try:
    main({words!r})
except SystemExit as stop:
    assert stop.code == 0
"""
    assert not imported_by(code) & HEAVY


def test_help_lists_every_command_with_its_line(capsys):
    with pytest.raises(SystemExit, match='0'):
        cli.main(['--help'])
    output = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert f'  {command}' in output and cli._module(command).HELP in output


def test_version_and_module_entry_point():
    output = subprocess.run(
        [sys.executable, '-m', 'genjax', '--version'], check=True, capture_output=True, text=True
    ).stdout
    assert output == f'genjax {genjax.__version__}\n'


def test_no_command_shows_the_help_and_fails(ran, capsys):
    assert cli.main([]) == 1
    assert 'commands:' in capsys.readouterr().out


def test_overrides_are_collected_in_order(ran):
    words = [
        'train',
        '--config.b=2',
        '--config=c.py',
        '--config.a.x',
        '-1',
        '--workdir',
        'w',
        '--config.b=a=b',
    ]
    assert cli.main(words) == 0
    assert ran.args.overrides == [('b', '2'), ('a.x', '-1'), ('b', 'a=b')]
    assert (ran.args.config, ran.args.workdir) == ('c.py', 'w')


@pytest.mark.parametrize(
    'words, message',
    [
        (['trian'], "no command 'trian'; did you mean 'train'?"),
        (['--versoin'], "unknown option --versoin; did you mean '--version'?"),
        (['train', '--wrokdir=x'], "unknown option --wrokdir; did you mean '--workdir'?"),
        (['train', '--work=x'], "unknown option --work; did you mean '--workdir'?"),
        (['train', 'x'], "unexpected argument 'x'"),
        (['train', '--config'], 'argument --config: expected one argument'),
        (['train', '--config.a'], '--config.a has no value'),
        (['train', '--config.a', '--workdir=x'], '--config.a has no value'),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(ran, capsys, words, message):
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.count('\n') == 1
    assert captured.err.startswith('genjax: error: ') and message in captured.err
    assert ran.args is None


def test_a_mistake_in_a_nested_command_names_the_right_option(ran, capsys, monkeypatch):
    def add_arguments(parser):
        nested = parser.add_subparsers(required=True)
        nested.add_parser('show').add_argument('--out')

    command = SimpleNamespace(HELP='', add_arguments=add_arguments, run=lambda args: None)
    monkeypatch.setattr(cli, '_module', lambda name: command)
    assert cli.main(['data', 'show', '--oot=x']) == 2
    assert "unknown option --oot; did you mean '--out'?" in capsys.readouterr().err
    assert cli.main(['data', 'show', '--config.a=1']) == 2
    assert 'unknown option --config.a' in capsys.readouterr().err


@pytest.mark.parametrize(
    'error, status, text',
    [
        (UserError('no such thing'), 2, 'genjax: error: no such thing\n'),
        (Interrupted('saved at 3; run it again'), 75, 'genjax: saved at 3; run it again\n'),
        (KeyboardInterrupt(), 130, ''),
    ],
)
def test_how_a_command_ends_is_its_exit_status(ran, capsys, error, status, text):
    ran.error = error
    assert cli.main(['train']) == status
    assert capsys.readouterr().err == text


def test_a_defect_keeps_its_traceback(ran, monkeypatch):
    of_genjax = {}
    exec(compile('def run(args): 1 / 0', genjax.__file__, 'exec'), of_genjax)
    command = SimpleNamespace(HELP='', add_arguments=lambda parser: None, run=of_genjax['run'])
    monkeypatch.setattr(cli, '_module', lambda name: command)
    with pytest.raises(ZeroDivisionError):
        cli.main(['train'])


def test_an_exception_of_the_users_own_code_is_a_line_with_its_innermost_frame(
    ran, capsys, monkeypatch
):
    ran.error = ZeroDivisionError('no\n\nway')
    assert cli.main(['train']) == 2
    line = capsys.readouterr().err
    assert line.startswith('genjax: error: ') and line.count('\n') == 1
    assert 'test_cli.py:' in line and ' in run: ZeroDivisionError: no way (GENJAX_TR' in line
    monkeypatch.setenv('GENJAX_TRACEBACK', '1')
    assert cli.main(['train']) == 2
    whole = capsys.readouterr().err
    assert whole.startswith('Traceback') and whole.endswith(line)


def test_memory_that_is_not_there_is_a_line_with_what_needs_less(ran, capsys, monkeypatch):
    import jax

    run = lambda args: jax.jit(lambda: jax.numpy.zeros(2**45))()  # noqa: E731
    command = SimpleNamespace(HELP='', add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(cli, '_module', lambda name: command)
    assert cli.main(['train']) == 2
    line = capsys.readouterr().err
    assert line.startswith(
        'genjax: error: out of memory (for 140737488355328 bytes more): training'
    )
    assert 'config.batch_size' in line and line.count('\n') == 1


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (
            RuntimeError('RESOURCE_EXHAUSTED: Out of memory while trying to allocate 80.00GiB.'),
            'out of memory (for 80.00GiB more): training needs less with a smaller'
            ' config.batch_size, a larger config.accumulate, remat',
        ),
        (MemoryError(), 'data with in_memory=False'),
        (
            RuntimeError("Unable to initialize backend 'tpu': not found\n\nmore"),
            "Unable to initialize backend 'tpu': not found (JAX_PLATFORMS=",
        ),
    ],
)
def test_what_a_device_lacks_is_a_line(ran, capsys, error, message):
    ran.error = error
    assert cli.main(['train']) == 2
    line = capsys.readouterr().err
    assert message in line and line.count('\n') == 1


@pytest.mark.parametrize('error', [KeyboardInterrupt(), RuntimeError('Event loop is closed')])
def test_what_destructors_and_threads_raise_as_a_run_ends_is_not_shown(monkeypatch, error):
    shown = []
    monkeypatch.setattr(runtime, '_unraisable_before', shown.append)
    for raised in (error, ValueError('of interest')):
        runtime._unraisable(SimpleNamespace(exc_value=raised))
    assert [str(found.exc_value) for found in shown] == ['of interest']


def test_a_terminal_without_the_letter_shows_its_number():
    end, start = os.pipe()
    with (
        open(start, 'w', encoding='ascii') as terminal,
        process._unbreakable(terminal, start) as out,
    ):
        print('β = 4', file=out)
    with open(end, encoding='ascii') as shown:
        assert shown.read() == '\\u03b2 = 4\n'
