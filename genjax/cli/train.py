"""`genjax train`: trains a model from a config file, or resumes a run."""

import argparse
import re
import signal

from genjax import files
from genjax.cli import runtime
from genjax.errors import Interrupted
from genjax.parallel.preemption import Preemption

HELP = 'train a model, or resume a run'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--config',
        type=files.anywhere,
        required=True,
        metavar='FILE',
        help='a file with get_config(); --config.model.beta=4 changes one field',
    )
    parser.add_argument(
        '--workdir', type=files.workdir, required=True, metavar='DIR',
        help='folder of the run; an existing run is resumed'
    )  # fmt: skip
    runtime.add_trust(parser)
    parser.add_argument(
        '--branch_from', metavar='RUN[@STEP]',
        help='start a new run from the state of another one, with any config',
    )  # fmt: skip
    parser.add_argument(
        '--max_time', type=_seconds, default=0.0, metavar='[[H:]M:]S',
        help='after so long, save and stop with status 75, as after SIGTERM: 90, 15:00 or 8:00:00',
    )  # fmt: skip
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    interruption = Preemption()
    try:
        with interruption:
            signal.setitimer(signal.ITIMER_REAL, args.max_time)
            _train(args, interruption)
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:  # raised while leaving the context manager
        raise Interrupted(interruption.line) from None


def _seconds(text: str) -> float:
    """Parses a positive time in seconds, [[H:]M:]S."""
    if not re.fullmatch(r'((\d+:)?\d+:)?\d+(\.\d+)?', text) or not (seconds := _sum(text)):
        raise argparse.ArgumentTypeError(f'{text!r} is no time such as 90, 15:00 or 8:00:00')
    return seconds


def _sum(text: str) -> float:
    parts = reversed(text.split(':'))
    return sum(float(part) * 60**power for power, part in enumerate(parts))


def _train(args: argparse.Namespace, interruption: Preemption) -> None:
    import time

    from genjax import config

    began = time.time()
    with runtime.computing(args, interruption):
        from genjax.training import loop

        loop.train(
            config.load(args.config, args.overrides),
            files.as_path(args.workdir),
            interruption,
            args.branch_from,
            began,
        )
