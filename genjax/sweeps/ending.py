"""How a trial ended, by what its process left."""

import signal

from genjax.errors import EXIT_INTERRUPTED


def ending(code: int, last: str, stopped: bool) -> tuple[str, str]:
    """The status of a trial, complete, stopped or failed, and the reason where it failed.

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
    return 'failed', last.removeprefix('genjax: error: ') or f'status {code}'
