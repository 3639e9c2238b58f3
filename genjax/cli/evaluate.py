"""`genjax evaluate`: judges a trained model on its test split."""

import argparse

from genjax import files
from genjax.cli import runtime

HELP = 'judge a trained model on its test split'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `evaluate`."""
    parser.add_argument(
        '--workdir', type=files.workdir, required=True, metavar='DIR', help='the folder of the run'
    )
    parser.add_argument(
        '--step', default='best', help="a step, 'latest', or 'best' (default; by the run's config)"
    )
    runtime.add_first_stage(parser)
    runtime.add_trust(parser)
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluates, prints a table, and writes `evaluations/<step>.json`."""
    from pathlib import Path

    with runtime.computing(args):
        from genjax.evaluation.results import show
        from genjax.parallel import distributed
        from genjax.training import results
        from genjax.training.run import load

        run = load(Path(args.workdir), args.step, args.first_stage)
        evals = run.experiment.final_evals
        found = results.evaluate_run(run, evals)
        if distributed.is_first():
            show(found, f'{args.workdir}, step {run.step:,}')
            results.keep(run, evals, found)
