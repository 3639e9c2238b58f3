"""A trial that hangs does not hold up the sweep, or its lock."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from genjax.errors import Interrupted
from genjax.sweeps import child, local
from genjax.sweeps.folder import Folder

pytestmark = pytest.mark.slow

DEAF = 'trap "" TERM; echo deaf; while :; do sleep 0.1; done'


def test_a_trial_that_does_not_end_is_killed_and_named(tmp_path, monkeypatch, capsys):
    processes = []

    class Deaf(local._Running):
        def __init__(self, folder, trial, share, lock):
            self.trial, self.share = trial, share
            self._stopped, self._began = False, time.monotonic()
            self._held, self._log = contextlib.ExitStack(), folder.log(trial.id)
            self._log.parent.mkdir(exist_ok=True)
            self._log.write_text('step 1\n')
            self.process = subprocess.Popen(['sh', '-c', DEAF], stdout=subprocess.PIPE)
            self.process.stdout.readline()  # it ignores the signal now
            processes.append(self.process)
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()

    monkeypatch.setattr(local, '_Running', Deaf)
    monkeypatch.setattr(child, 'GRACE', 0.3)
    folder = Folder(tmp_path)
    trial = SimpleNamespace(id='abc', changes={'seed': 3})
    with pytest.raises(Interrupted, match='SIGTERM'):
        local.run(folder, [trial], 1, None)
    assert processes[0].returncode == -signal.SIGKILL
    processes[0].stdout.close()
    out = capsys.readouterr().out
    assert out.count('abc seed=3: killed, as it did not end when it was stopped') == 1
    assert folder.status('abc') == 'stopped'


def test_an_orphan_that_hangs_is_killed():
    """The parent is gone before the trial is ready; SIGTERM finds it deaf."""
    code = (
        'import os, signal, subprocess, sys, threading, time\n'
        'from genjax.sweeps import child\n'
        'child.GRACE = 0.2\n'
        'if os.fork():\n'
        '    time.sleep(0.5)\n'
        '    os._exit(0)\n'
        'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
        'threading.Thread(target=child._kill_orphan, args=(os.getppid(),), daemon=True).start()\n'
        'print(os.getpid(), flush=True)\n'
        'while True:\n'
        '    time.sleep(1)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )  # returns when the orphan closes the pipe
    orphan = int(done.stdout)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(orphan, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail('it is still there')
