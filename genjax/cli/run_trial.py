"""`genjax run_trial`: what the launchers of a sweep start."""

import argparse
import sys
from pathlib import Path

from genjax import files
from genjax.cli import runtime

HELP = 'run one trial of a sweep and write down how it ended; launchers start this'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `run_trial`."""
    parser.add_argument(
        'sweep', type=files.workdir, metavar='DIR', help='the --workdir of the sweep'
    )
    parser.add_argument('id', metavar='ID', help='of the trial: a file in DIR/configs')
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Ends with the exit status of the training."""
    from genjax.sweeps import trial
    from genjax.sweeps.folder import Folder

    sys.exit(trial.run(Folder(Path(args.sweep)), args.id))
