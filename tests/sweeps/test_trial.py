"""Trials that no launcher watches: they write down themselves how they ended."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from genjax import cli
from genjax.errors import EXIT_BUSY, EXIT_INTERRUPTED
from genjax.sweeps import trial
from genjax.sweeps.exit_status import ending
from genjax.sweeps.folder import Folder
from genjax.training.workdir import locked

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / 'docs/sweeps.md'
SWEEP = ['sweep', '--config=tests/sweeps/config.py', '--launcher=print']


@pytest.fixture
def printed(tmp_path, capsys):
    """Makes a sweep in a folder with a blank in its name and returns the commands of its trials."""

    def run(*options):
        assert cli.main([*SWEEP, f'--workdir={tmp_path / "my runs"}', *options]) == 0
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.full
def test_the_printed_lines_are_commands_and_those_of_complete_trials_are_left_out(
    printed, tmp_path
):
    lines = printed('--sweep=chain(seeds(1), product(optimizer.learning_rate=[1e30]))')
    names = [row['id'] for row in Folder(tmp_path / 'my runs').read()['trials']]
    commands = [shlex.split(line)[1:] for line in lines]
    assert [words[:-1] for words in commands] == [
        ['-P', '-m', 'genjax', 'run_trial', str(tmp_path / 'my runs'), name] for name in names
    ]
    # The data set of the config is not genjax's own: the processes that build it are told.
    assert all(words[-1].startswith('--trust=tests.training.tiny.Blots') for words in commands)
    errors = subprocess.run(
        ['xargs', '-d', '\n', '-n', '1', '-P', '2', 'sh', '-c'],
        input='\n'.join(lines),
        env={**os.environ, 'XLA_FLAGS': ''},
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    ends = [Folder(tmp_path / 'my runs').result(name) for name in names]
    assert [end['status'] for end in ends] == ['complete', 'failed']
    assert ends[1]['reason'] and f'genjax: error: {ends[1]["reason"]}\n' in errors
    assert all(end['seconds'] > 0 for end in ends)

    assert printed('--sweep=chain(seeds(1), product(optimizer.learning_rate=[1e30]))') == lines[1:]


@pytest.mark.full
def test_sigterm_goes_on_to_the_training_which_saves(printed, tmp_path):
    (line,) = printed('--sweep=seeds(1)', '--config.steps=1000000', '--config.log_every=100')
    process = subprocess.Popen(
        shlex.split(line),
        env={**os.environ, 'XLA_FLAGS': ''},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for shown in process.stdout:
        if shown.startswith(b'step 100/'):
            process.send_signal(signal.SIGTERM)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED
    assert b'SIGTERM: saved step ' in errors
    folder = Folder(tmp_path / 'my runs')
    (name,) = [row['id'] for row in folder.read()['trials']]
    assert folder.result(name)['status'] == 'stopped'


@pytest.mark.full
def test_a_trial_that_another_process_trains_is_left_to_it(printed, tmp_path):
    (line,) = printed('--sweep=seeds(1)')
    folder = Folder(tmp_path / 'my runs')
    (name,) = [row['id'] for row in folder.read()['trials']]
    with locked(folder.workdir(name)):
        process = subprocess.run(shlex.split(line), capture_output=True, text=True, check=False)
    assert process.returncode == EXIT_BUSY
    assert f'another run (process {os.getpid()}) is training in' in process.stderr
    assert folder.result(name) is None


@pytest.mark.parametrize('index', [0, 1])
def test_of_several_processes_the_first_writes_the_result_and_each_a_log(
    tmp_path, monkeypatch, index
):
    monkeypatch.setenv('JAX_COORDINATOR_ADDRESS', 'localhost:8476')
    monkeypatch.setenv('JAX_NUM_PROCESSES', '2')
    monkeypatch.setenv('JOB_COMPLETION_INDEX', str(index))
    training = [sys.executable, '-c', 'import sys; sys.exit("genjax: error: a mistake\\n")']
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, 'Popen', lambda words, **options: popen(training, **options))
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    folder = Folder(tmp_path)
    folder.config('abc').parent.mkdir()
    folder.config('abc').touch()
    assert trial.run(folder, 'abc') == 1
    result = folder.result('abc')
    assert result is None if index else result['reason'] == 'a mistake'
    began, *lines = folder.log('abc', index).read_text().splitlines()
    assert f'process {index} of 2 on {socket.gethostname()}' in began
    assert ''.join(lines) == 'genjax: error: a mistake'


@pytest.mark.parametrize(
    ('code', 'last', 'stopped', 'expected'),
    [
        (0, 'step 12', False, ('complete', '')),
        (0, 'step 12', True, ('complete', '')),  # it was done when it came
        (75, 'genjax: SIGTERM: saved step 3', True, ('stopped', '')),
        (75, 'genjax: SIGTERM: saved step 3', False, ('stopped', '')),
        (-15, '', True, ('stopped', '')),  # before its handler was there
        (-15, '', False, ('failed', 'killed by SIGTERM')),
        (-9, 'step 3', True, ('failed', 'killed by SIGKILL')),
        (2, 'genjax: error: the loss is nan', False, ('failed', 'the loss is nan')),
        (1, 'ValueError: x', False, ('failed', 'ValueError: x')),
        (1, '', False, ('failed', 'status 1')),
        (73, 'genjax: error: another run trains', False, ('busy', 'another run trains')),
    ],
)
def test_an_ending_has_a_status_and_a_reason(code, last, stopped, expected):
    assert ending(code, last, stopped) == expected


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--launcher=slrum'], "@module.function; did you mean 'slurm'?"),
        (['--launcher=@nowhere.launch'], "cannot import 'nowhere.launch'"),
        (['--launcher=print', '--max_parallel=2'], '--launcher=print takes no --max_parallel'),
        (['--slurm.time=1:00'], '--launcher=local takes no --slurm.time'),
        (['--launcher=slurm', '--jobset.image=a'], '--launcher=slurm takes no --jobset.image'),
        (['--launcher=jobset', '--out=jobs', '--template=no'], "there is no template 'no'"),
        (['--launcher=jobset'], '--launcher=jobset needs --out=DIR'),
        (['--launcher=slurm', '--slurm.time'], '--slurm.time has no value'),
    ],
)
def test_options_that_do_not_fit_the_launcher_are_one_line(tmp_path, capsys, options, message):
    words = ['sweep', '--config=tests/sweeps/config.py', f'--workdir={tmp_path / "runs"}']
    assert cli.main([*words, *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


def test_a_config_without_sweep_needs_the_option(tmp_path, capsys):
    words = ['sweep', '--config=configs/digits/vae.py', f'--workdir={tmp_path / "runs"}']
    assert cli.main(words) == 2
    line = 'configs/digits/vae.py has no function sweep(): write it, or say --sweep=…\n'
    assert capsys.readouterr().err == f'genjax: error: {line}'


def test_a_launcher_by_its_import_path(tmp_path, monkeypatch, capsys):
    """The one in docs/sweeps.md."""
    (source,) = re.findall(r'```python\n(.*?)```', DOCS.read_text('utf-8'), re.DOTALL)
    (tmp_path / 'our_launcher.py').write_text(source)
    monkeypatch.chdir(tmp_path)
    config = Path(__file__).with_name('config.py')
    words = [f'--config={config}', '--workdir=runs', '--sweep=seeds(1)', '--config.steps=2']
    assert cli.main(['sweep', *words, '--launcher=@our_launcher.launch']) == 0
    found = [json.loads(path.read_text()) for path in Path('runs/results').iterdir()]
    assert [result['status'] for result in found] == ['complete']
