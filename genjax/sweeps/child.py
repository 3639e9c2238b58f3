"""Starts a trial on its share of the machine:

    python -m genjax.sweeps.child CORES PARENT train --config=... --workdir=...

It is told to stop, and saves, when the process that started it ends, however that ends.
"""

import ctypes
import os
import runpy
import signal
import sys

from genjax.errors import EXIT_INTERRUPTED

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Runs the verb after the cores, such as `0,1`, and the process that started it."""
    cores, parent, *words = sys.argv[1:]
    if sys.platform == 'linux':
        os.sched_setaffinity(0, map(int, cores.split(',')))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it has ended before
            sys.exit(EXIT_INTERRUPTED)
    sys.argv[1:] = words
    runpy.run_module('genjax', run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
