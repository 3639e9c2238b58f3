"""Files that are there whole or not at all."""

import subprocess
import sys

import pytest

from genjax.errors import UserError
from genjax.files import replacing

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


def test_the_next_one_to_write_a_file_removes_what_a_killed_process_left_of_it(tmp_path):
    file = tmp_path / 'grid[1].png'
    subprocess.run([sys.executable, '-c', WRITES_AND_IS_KILLED, file], check=False)
    (left,) = names(tmp_path)
    others = {'.grid[1].png.1.tmp', '.grid[1].png.backup.tmp', left.replace('grid[1]', 'grid1')}
    for name in others:  # of a process that runs, of no process, of another file
        (tmp_path / name).touch()
    with replacing(file) as temporary:
        temporary.write_text('whole')
    assert names(tmp_path) == {'grid[1].png', *others}
    assert file.read_text() == 'whole'
