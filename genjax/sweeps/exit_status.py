"""Maps exit code and last line to a trial status."""

import signal

from genjax.errors import EXIT_BUSY, EXIT_INTERRUPTED


def ending(code: int, last: str, stopped: bool) -> tuple[str, str]:
    """Returns the status of a trial (complete, stopped, failed or busy) and the reason for the last
    two.

    Busy: another process trains the trial and will record how it ends.

    Args:
        code: exit status of the trial's process; negative: the signal that ended it.
        last: last line of its output.
        stopped: whether a stop was requested.
    """
    if code == 0:
        return 'complete', ''
    if code == EXIT_INTERRUPTED or (stopped and code == -signal.SIGTERM):
        return 'stopped', ''
    if code < 0:
        return 'failed', f'killed by {signal.Signals(-code).name}'
    status = 'busy' if code == EXIT_BUSY else 'failed'
    return status, last.removeprefix('genjax: error: ') or f'status {code}'
