"""A process that trains: its signals, its output, and its end."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.tiers import full
from tests.training.conftest import arguments, records, steps_saved
from tests.training.processes import Processes


def wait_for_a_record(workdir, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if records(workdir):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.01)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize('name', ['SIGHUP', full('SIGUSR1'), full('SIGALRM')])
def test_sighup_and_sigusr1_save_like_sigterm(name, processes, workdir, tmp_path):
    log = tmp_path / 'log'
    child = processes.start(arguments(workdir, steps=100_000, checkpoint_every=0), log)
    wait_for_a_record(workdir, log)
    os.kill(child, getattr(signal, name))
    assert processes.wait() == 75, log.read_text()
    (saved,) = steps_saved(workdir)
    name = '--max_time' if name == 'SIGALRM' else name
    assert log.read_text().endswith(
        f'genjax: {name}: saved step {saved:,} of 100,000 in {workdir};'
        ' the same command resumes from there\n'
    )


def test_a_run_ends_with_its_time(processes, workdir, tmp_path):
    log = tmp_path / 'log'
    processes.start(arguments(workdir, '--max_time=0:00:02.5', steps=10_000_000), log)
    assert processes.wait() == 75
    assert 'genjax: --max_time: ' in log.read_text()


@pytest.mark.full
def test_sighup_that_is_ignored_stays_so(workdir, tmp_path):
    log = tmp_path / 'log'
    nohup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        own = Processes()
        child = own.start(arguments(workdir, steps=300), log)
        wait_for_a_record(workdir, log)
        os.kill(child, signal.SIGHUP)
        assert own.wait() == 0, log.read_text()
        own.close()
    finally:
        signal.signal(signal.SIGHUP, nohup)


def test_output_that_nobody_reads_does_not_end_a_run(processes, workdir, tmp_path):
    """`genjax train … | head -1`"""
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    processes.start(arguments(workdir, steps=40), pipe)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if os.read(reader, 1):
                break
        except BlockingIOError:
            pass
        time.sleep(0.01)
    os.close(reader)
    assert processes.wait() == 0
    assert steps_saved(workdir) == [40]


def test_output_on_a_full_disk_does_not_end_a_run(processes, workdir):
    processes.start(arguments(workdir, steps=3), '/dev/full')
    assert processes.wait() == 0
    assert steps_saved(workdir) == [3]


def test_a_list_that_cannot_be_printed_is_not_a_success(tmp_path):
    command = [sys.executable, '-m', 'genjax', 'data', 'list', f'--data_dir={tmp_path}']
    with open('/dev/full', 'w') as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'genjax: warning: output is lost: No space left on device\n'


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT', full('SIGHUP'), full('SIGUSR1')])
def test_a_signal_in_the_middle_of_an_import_ends_the_process(name, tmp_path, monkeypatch):
    """Exceptions there crash extension modules, or are lost in them."""
    (tmp_path / 'helper.py').write_text(
        'import os, signal\n'
        'try:\n'
        f'    os.kill(os.getpid(), signal.{name})\n'
        'except BaseException:\n'
        '    raise RuntimeError("as extension modules do") from None\n'
        'print("it went on")\n'
    )
    (tmp_path / 'config.py').write_text('import helper\n')
    done = subprocess.run(
        [sys.executable, '-m', 'genjax', 'train', '--config=config.py', '--workdir=run'],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, 'PYTHONPATH': f'{os.getcwd()}:{tmp_path}'},
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    what = 'Ctrl-C' if name == 'SIGINT' else name
    assert done.stderr.startswith(f'genjax: {what}: stopped at once') and not done.stdout


def test_ctrl_c_in_the_middle_of_an_import_of_other_commands(tmp_path):
    code = (
        'import signal, sys\n'
        'from genjax import cli\n'
        'class Importer:\n'
        '    def find_spec(self, name, *_):\n'
        '        if name == "jax":\n'
        '            try:\n'
        '                signal.raise_signal(signal.SIGINT)\n'
        '            except BaseException:\n'
        '                raise RuntimeError from None\n'
        'sys.meta_path.insert(0, Importer())\n'
        'sys.argv = ["genjax", "evaluate", "--workdir=run"]\n'
        'cli.main()\n'
    )
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path,
                          env={**os.environ, 'PYTHONPATH': os.getcwd()})  # fmt: skip
    assert (done.returncode, done.stderr) == (130, '')


def test_a_process_ends_with_its_status_whatever_threads_still_wait(tmp_path):
    """After a failed save, threads of Orbax may wait for ever."""
    code = (
        'import sys, threading\n'
        'from genjax import cli\n'
        'threading.Thread(target=threading.Event().wait).start()\n'
        'sys.argv = ["genjax", "nothing"]\n'
        'cli.main()\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith('genjax: error: no command')
