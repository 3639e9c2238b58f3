"""The command line in processes of its own, one or several that work together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path


class Processes:
    """Runs the command line in processes of its own, without the seconds that imports take: each is
    a fork of one that has imported everything and computed nothing.
    """

    _CODE = """
import json, os, signal, sys, time
from genjax import cli
from genjax.training import loop
from tests.training import tiny

def start(words, log, devices, environment):
    child = os.fork()
    if child:
        return child
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1), os.dup2(file, 2), os.close(file)
    os.environ |= environment
    flags = os.environ.get('XLA_FLAGS', '')
    os.environ['XLA_FLAGS'] = f'{flags} --xla_force_host_platform_device_count={devices}'
    sys.argv = ['genjax', *words]
    status = cli.main()
    sys.stdout.flush()
    os._exit(status)

def wait(child, seconds):
    for _ in range(int(seconds * 100)):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 'hung'

for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps({'start': start, 'wait': wait}[name](*arguments)), flush=True)
"""

    def __init__(self):
        root = str(Path(__file__).parents[2])
        self._parent = subprocess.Popen(
            [sys.executable, '-W', 'ignore::DeprecationWarning', '-c', self._CODE],
            env={**os.environ, 'PYTHONPATH': root},
            cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, words, log, devices=1, environment=None):
        """Starts `genjax words`, whose output is added to the file `log`; returns its id."""
        words = list(map(str, words))
        self._last = self._ask('start', words, str(log), devices, environment or {})
        return self._last

    def start_together(self, count, words, log, devices=1, environment=None, **options):
        """Starts `count` processes of one run, with logs `log.0`, `log.1`, …; returns their ids."""
        options = {'heartbeat': 10, 'start_timeout': 60, **options}
        words = [*words, f'--coordinator=localhost:{free_port()}', f'--num_processes={count}']
        words += [f'--{name}={value}' for name, value in options.items()]
        return [
            self.start([*words, f'--process_id={index}'], f'{log}.{index}', devices, environment)
            for index in range(count)
        ]

    def wait(self, child=None, seconds=120):
        """The exit status of a process, or of the last one; negative: the signal that ended it;
        'hung' if it had to be killed.
        """
        return self._ask('wait', child or self._last, seconds)

    def _ask(self, *request):
        print(json.dumps(request), file=self._parent.stdin, flush=True)
        return json.loads(self._parent.stdout.readline())

    def close(self):
        self._parent.stdin.close()
        self._parent.wait(60)
        self._parent.stdout.close()


def free_port():
    with socket.create_server(('', 0)) as server:
        return server.getsockname()[1]


def said(log):
    """What genjax wrote to a log: without the lines of XLA's library for CPUs."""
    lines = Path(log).read_text().splitlines() if Path(log).exists() else []
    return [line for line in lines if not line.startswith('[Gloo]')]
