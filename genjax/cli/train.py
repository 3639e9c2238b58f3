"""`genjax train`: runs an experiment from a config file, or goes on with one."""

import argparse

from genjax import files
from genjax.cli import runtime
from genjax.errors import Interrupted
from genjax.parallel.preemption import Preemption

HELP = 'train what a config file describes, or go on with it'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `train`."""
    parser.add_argument(
        '--config',
        type=files.local,
        required=True,
        metavar='FILE',
        help='a file with get_config(); --config.model.beta=4 changes one field',
    )
    parser.add_argument(
        '--workdir', type=files.workdir, required=True, metavar='DIR',
        help='where the run is kept and resumed from'
    )  # fmt: skip
    runtime.add_trust(parser)
    parser.add_argument(
        '--branch_from', metavar='RUN[@STEP]',
        help='begin a new run with the state of another one, under any config',
    )  # fmt: skip
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains."""
    interruption = Preemption()
    try:
        with interruption:
            _train(args, interruption)
    except KeyboardInterrupt:  # it came as the context was being left
        raise Interrupted(interruption.line) from None


def _train(args: argparse.Namespace, interruption: Preemption) -> None:
    from pathlib import Path

    from genjax import config

    with runtime.computing(args, interruption):
        from genjax.training import loop

        loop.train(
            config.load(args.config, args.overrides),
            Path(args.workdir),
            interruption,
            args.branch_from,
        )
