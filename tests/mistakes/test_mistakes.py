"""Whatever a user gets wrong is one line that says so, and a status of 2: no traceback, and no
folder claimed where the mistake shows before training.
"""

from pathlib import Path

import pytest

from genjax import cli
from tests.mistakes import commands, contracts, overrides

CONFIG = Path(__file__).parent / 'config.py'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp('finished') / 'run'
    assert cli.main(['train', f'--config={CONFIG}', f'--workdir={folder}']) == 0
    return folder


def line_of(words, capsys):
    """The line that a command ends with."""
    capsys.readouterr()
    status = cli.main(words)
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith('genjax: warning: ')]
    assert status == 2, (words, status, error)
    assert len(lines) == 1 and lines[0].startswith('genjax: error: '), error
    assert 'Traceback' not in error and len(lines[0]) < 900, error
    return lines[0]


def train(case, fields, folder):
    fields = [f'--config.{field}' for field in fields]
    return ['train', f'--config={CONFIG}:{case}', f'--workdir={folder}', *fields]


def check(rows, capsys):
    """Checks all rows (words, part of the line, folder) and reports all that are wrong."""
    wrong = []
    for words, part, folder in rows:
        try:
            line = line_of(words, capsys)
            assert part in line, f'{part!r} is not in {line!r}'
            assert folder is None or not folder.exists(), 'the folder was claimed'
        except (Exception, SystemExit) as error:
            wrong.append(f'{words}: {type(error).__name__}: {error}')
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize(
    'table',
    [overrides.FIELDS, overrides.DATA, contracts.CONTRACT],
    ids=['fields', 'data', 'contracts'],
)
def test_in_a_config(table, tmp_path, capsys):
    rows = []
    for number, (case, fields, part) in enumerate(table):
        folder = tmp_path / str(number)
        rows.append((train(case, fields, folder), part, folder))
    check(rows, capsys)


def test_in_what_evaluators_return(tmp_path, capsys):
    rows = []
    for number, (case, fields, part) in enumerate(contracts.AFTER_TRAINING):
        rows.append((train(case, fields, tmp_path / str(number)), part, None))
    check(rows, capsys)


def test_in_a_command(run, tmp_path, capsys):
    rows = [
        ([word.format(tmp=tmp_path, run=run, config=CONFIG) for word in words], part)
        for words, part in commands.COMMANDS
    ]
    check([(*row, tmp_path / 'run') for row in rows], capsys)
    assert not any(tmp_path.iterdir())


def test_in_a_sweep(tmp_path, capsys):
    words = [word.format(tmp=tmp_path, config=CONFIG) for word in commands.SWEEP]
    rows = [([*words, f'--sweep={text.format()}'], part) for text, part in commands.SWEEPS]
    check([(*row, tmp_path / 'run') for row in rows], capsys)


def test_in_a_config_file(tmp_path, capsys):
    rows = []
    for number, (text, part) in enumerate(commands.FILES):
        file = tmp_path / str(number) / 'mistake.py'
        file.parent.mkdir()
        file.write_text(text.replace('BASE', commands.BASE))
        rows.append((['train', f'--config={file}', f'--workdir={tmp_path}/run'], part))
    check([(*row, tmp_path / 'run') for row in rows], capsys)


def test_there_are_two_hundred():
    tables = (overrides.FIELDS, overrides.DATA, contracts.CONTRACT, contracts.AFTER_TRAINING,
              commands.COMMANDS, commands.SWEEPS, commands.FILES)  # fmt: skip
    assert sum(map(len, tables)) >= 200
