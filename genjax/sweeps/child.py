"""Starts a trial on its share of the machine:

    python -m genjax.sweeps.child CORES PARENT train --config=... --workdir=...

It is told to stop, and saves, when the process that started it ends, however that ends.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> int:
    """Runs the verb after the cores, such as `0,1`, and the process that started it."""
    cores, parent, *words = sys.argv[1:]
    if sys.platform == 'linux':
        os.sched_setaffinity(0, map(int, cores.split(',')))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it has ended before
            return 75
    from genjax.cli import main

    sys.argv[1:] = words
    return main()


if __name__ == '__main__':
    sys.exit(main())
