"""Which paths can be used, and files that are there whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from genjax import cli, files
from genjax.cli import runtime
from genjax.data import TFDS, Binary, Latents, Text
from genjax.errors import UserError
from genjax.files import locked, remove_unfinished, replacing, workdir

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


@pytest.mark.parametrize(
    'words',
    [
        ('train', '--config=c.py', '--workdir=file:///tmp/run'),
        ('sweep', '--config=c.py', '--workdir=hdfs://host/sweep'),
        ('sweep', '--config=c.py', '--workdir=run', '--launcher=jobset', '--out=gs://bucket/jobs'),
        ('sample', '--workdir=run', '--out=hdfs://host/a.png'),
        ('evaluate', '--workdir=hdfs://host/run'),
        ('report', 'run', '--out=hdfs://host/a.md'),
        ('data', 'list', '--data_dir=gs://bucket/data'),
        ('data', 'show', 'digits', '--out=hdfs://host/a.png'),
    ],
)
def test_a_url_is_refused_before_anything_is_read(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(list(words)) == 2
    err = capsys.readouterr().err
    assert '://' in err and 'is a URL: give a folder or file of this machine' in err
    assert err.count('\n') == 1 and not names(tmp_path)


@pytest.mark.parametrize(('prefix', 'extra'), [('gs://', 'gcs'), ('s3://', 's3')])
def test_a_store_names_the_extra_that_it_needs(prefix, extra, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        sys.modules, f'genjax.files.{extra}', None
    )  # as if it could not be imported
    for words in (
        ('train', '--config=c.py'),
        ('sweep', '--config=c.py'),
        ('sample', '--out=a.png'),
        ('encode', '--out=codes'),
        ('evaluate',),
    ):
        assert cli.main([*words, f'--workdir={prefix}bucket/never-asked-for']) == 2
        err = capsys.readouterr().err
        assert f'{prefix} needs the {extra} extra: ' in err and f'GENJAX_EXTRAS={extra}' in err
        assert err.count('\n') == 1 and not names(tmp_path)


def test_data_at_a_url_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TFDS_DATA_DIR', 'hdfs://bucket')
    for dataset in (
        TFDS('digits'),
        TFDS('digits', data_dir='hdfs://bucket'),
        Text('gs://bucket/text.txt'),
        Binary('gs://bucket/{split}.txt'),
        Latents('hdfs://bucket/codes'),
    ):
        with pytest.raises(UserError, match=r'(gs|hdfs)://bucket.* is a URL'):
            dataset.source('train')
    with pytest.raises(UserError, match='is a URL'), locked(Path('gs://b/run'), 'run', '', ''):
        pass
    assert not names(tmp_path)


@pytest.mark.parametrize('name', ['lr=[1e-3]', 'a]b', 'what?', '*', 'a\\b'])
def test_a_folder_that_checkpoints_cannot_be_read_from_is_refused(name, tmp_path, monkeypatch):
    with pytest.raises(UserError, match='cannot be read from a path with'):
        workdir(str(tmp_path / name / 'run'))
    folder = tmp_path / name
    with pytest.raises(UserError, match='rename'), locked(folder, 'run', 'config.json', ''):
        pass
    assert not names(tmp_path)
    folder.mkdir()
    monkeypatch.chdir(folder)
    for words in (('train', '--config=c.py'), ('sample', '--out=a.png'), ('evaluate',)):
        assert cli.main([*words, '--workdir=run']) == 2
    assert not names(folder)


def test_only_a_regular_file_is_replaced(tmp_path, capsys):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'link').symlink_to('/dev/null')
    for path, kind in (
        ('/dev/null', 'no regular file'),
        (tmp_path, 'a folder'),
        (tmp_path / 'pipe', 'no regular file'),
        (tmp_path / 'link', 'no regular file'),
    ):
        with pytest.raises(UserError, match=f'cannot write {path}: it is {kind}'), replacing(path):
            pass
        for words in (('sample', '--workdir=run'), ('report', 'run'), ('data', 'show', 'digits')):
            assert cli.main([*words, f'--out={path}']) == 2
            assert f'cannot write {path}: it is {kind}' in capsys.readouterr().err
    assert (tmp_path / 'pipe').is_fifo() and (tmp_path / 'link').is_symlink()


@pytest.mark.parametrize('kind', [files.local, files.workdir, files.output])
def test_a_tilde_is_the_home_folder(kind, monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert str(kind('~/a')) == str(tmp_path / 'a')
    with pytest.raises(UserError, match='~nobody_at_all/a: there is no such home folder'):
        kind('~nobody_at_all/a')


def test_a_user_without_a_home_folder_can_compute(monkeypatch, tmp_path):
    """As in a container with any user id."""
    monkeypatch.delenv('HOME', raising=False)
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setattr('pwd.getpwuid', lambda uid: {}[uid])
    kept = jax.config.jax_compilation_cache_dir
    jax.config.update('jax_compilation_cache_dir', None)
    try:
        runtime.prepare()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update('jax_compilation_cache_dir', kept)
