"""How a trial ended, by what its process left."""

import signal

from genjax.errors import EXIT_BUSY, EXIT_INTERRUPTED


def ending(code: int, last: str, stopped: bool) -> tuple[str, str]:
    """The status of a trial, complete, stopped, failed or busy, and the reason of the last two.

    RunLocked: another process trains it, and will write down how it ends.

    Args:
        code: exit status of its process; negative: the signal that ended it.
        last: the last line that it printed.
        stopped: whether it was told to stop.
    """
    if code == 0:
        return 'complete', ''
    if code == EXIT_INTERRUPTED or (stopped and code == -signal.SIGTERM):
        return 'stopped', ''
    if code < 0:
        return 'failed', f'killed by {signal.Signals(-code).name}'
    status = 'busy' if code == EXIT_BUSY else 'failed'
    return status, last.removeprefix('genjax: error: ') or f'status {code}'
