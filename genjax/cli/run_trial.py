"""`genjax run_trial`: runs one trial of a sweep; started by launchers."""

import argparse
import sys

from genjax import files
from genjax.cli import runtime

HELP = 'run one trial of a sweep and record its status (used by launchers)'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'sweep', type=files.workdir, metavar='DIR', help='the --workdir of the sweep'
    )
    parser.add_argument('id', metavar='ID', help='id of the trial: a file in DIR/configs')
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Exits with the status of the training."""
    from genjax.sweeps import trial
    from genjax.sweeps.folder import Folder

    sys.exit(trial.run(Folder(files.as_path(args.sweep)), args.id))
