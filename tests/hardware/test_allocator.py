"""Freed memory is kept for the next allocation, unless the user chose otherwise."""

import functools
import json
import os
import subprocess
import sys

import pytest

FAULTS = """
import json, resource
import numpy as np
{imports}

def faults():
    np.ones(2**24, np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(2**24, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(json.dumps([faults(), {call}, faults()]))
"""


def _faults(module='hardware.allocator', function='keep_freed_memory', **environment):
    """Page faults before and after a call, and its result in between."""
    script = FAULTS.replace('{imports}', f'from genjax.{module} import {function}')
    script = script.replace('{call}', f'{function}()')
    clean = {k: v for k, v in os.environ.items() if not k.startswith(('MALLOC_', 'LD_PRELOAD'))}
    run = [sys.executable, '-c', script]
    return json.loads(subprocess.check_output(run, env=clean | environment))


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is on Linux')
def test_pages_of_freed_arrays_are_used_again():
    before, is_set, after = _faults()
    assert is_set and before > 5 * after + 50


def test_what_the_environment_chooses_is_left():
    before, is_set, after = _faults(MALLOC_ARENA_MAX='4')
    assert not is_set and after > before / 2
    assert not _faults(GLIBC_TUNABLES='glibc.malloc.arena_max=4')[1]


def test_commands_set_it_on_a_cpu_alone():
    prepare = functools.partial(_faults, 'cli.runtime', 'prepare')
    before, _, after = prepare(JAX_PLATFORMS='cpu')
    assert before > 5 * after + 50
    before, _, after = prepare(JAX_PLATFORMS='tpu,cpu')
    assert after > before / 2


THREAD = """
import resource, threading
import numpy as np
from genjax.hardware.allocator import keep_freed_memory

keep_freed_memory()
found = []

def faults():
    for _ in range(2):
        np.ones(2**27, np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(2**27, np.float32)
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=faults)
thread.start()
thread.join()
print(*found)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is on Linux')
def test_large_arrays_of_other_threads_are_kept_too():
    """As XLA's are, whose memory of a step is one array: half a GiB is 131,072 pages."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(('MALLOC_', 'LD_PRELOAD'))}
    assert int(subprocess.check_output([sys.executable, '-c', THREAD], env=clean)) < 1000
