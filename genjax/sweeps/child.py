"""Starts a trial on its share of the machine:

    python -m genjax.sweeps.child CORES PARENT train --config=... --workdir=...

It is stopped and saves when its parent process ends, for whatever reason. If it then hangs, it is
killed, since it holds the lock of the sweep.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

from genjax.errors import EXIT_INTERRUPTED

GRACE = 120.0  # seconds for a trial to save and exit
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Runs the command given after the cores, such as `0,1`, and the parent's process id."""
    cores, parent, *words = sys.argv[1:]
    if sys.platform == 'linux':
        os.sched_setaffinity(0, map(int, cores.split(',')))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # the parent has ended already
            sys.exit(EXIT_INTERRUPTED)
        threading.Thread(target=_kill_orphan, args=(int(parent),), daemon=True).start()
    sys.argv[1:] = words
    runpy.run_module('genjax', run_name='__main__', alter_sys=True)


def _kill_orphan(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == '__main__':
    main()
