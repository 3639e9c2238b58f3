"""Files that are there whole or not at all."""

import subprocess
import sys

import pytest

from genjax.errors import UserError
from genjax.files import remove_unfinished, replacing

WRITES_AND_IS_KILLED = """
import os, pathlib, signal, sys
from genjax.files import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text('half')
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path):
    file = tmp_path / 'folder' / 'grid.png'
    with replacing(file) as temporary:
        temporary.write_text('old')
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text('new')
        assert file.read_text() == 'old'
        raise RuntimeError
    assert file.read_text() == 'old'
    assert names(file.parent) == {'grid.png'}


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / 'file').touch()
    with (
        pytest.raises(UserError, match=r'cannot write .*grid\.png: '),
        replacing(tmp_path / 'file' / 'grid.png'),
    ):
        pytest.fail('it went on')


def test_what_a_killed_process_left_can_be_removed(tmp_path):
    (tmp_path / '.lock').touch()
    (tmp_path / 'notes.tmp').touch()
    command = [sys.executable, '-c', WRITES_AND_IS_KILLED, tmp_path / 'grid.png']
    subprocess.run(command, check=False)
    (left,) = names(tmp_path) - {'.lock', 'notes.tmp'}
    assert left.startswith('.grid.png.')
    remove_unfinished(tmp_path)
    assert names(tmp_path) == {'.lock', 'notes.tmp'}
