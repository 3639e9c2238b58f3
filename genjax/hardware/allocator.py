"""The host's memory allocator, which serves XLA's CPU backend."""

import ctypes
import os
import sys

# Parameters of mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory for the next allocation of this process.

    XLA's CPU backend takes and returns its buffers at every step. By default glibc gives large ones
    back to the kernel, which clears each page anew: a sixth to a third of the processor time of a
    step. What is given back is what is free at the end of the heap beyond 2 GiB, and arrays above
    1 GiB. Call it before JAX computes; scripts may, `import genjax` does not.

    Returns:
        Whether it was set: not without glibc, nor where the environment chooses an allocator or
        its options (`MALLOC_…`, `GLIBC_TUNABLES`, `LD_PRELOAD`).
    """
    chosen = ('GLIBC_TUNABLES', 'LD_PRELOAD')
    if any(name in chosen or name.startswith('MALLOC_') for name in os.environ):
        return False
    libc = ctypes.CDLL(None) if sys.platform == 'linux' else None
    if not hasattr(libc, 'gnu_get_libc_version'):
        return False
    # One heap for all threads: those of threads end at 64 MiB, and larger buffers, such as the
    # memory of a whole step, would be mapped anew.
    values = {_MMAP_THRESHOLD: 2**30, _TRIM_THRESHOLD: 2**31 - 1, _ARENA_MAX: 1}
    return all([libc.mallopt(name, value) for name, value in values.items()])
