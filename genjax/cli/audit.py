"""`genjax audit`: hashes of the order of examples and of the state, to compare runs bit for bit."""

import argparse

from genjax import files
from genjax.cli import runtime
from genjax.errors import UserError

HELP = 'hashes of the order of examples and of the state, to compare runs bit for bit'
_SHOWN = 16  # digits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'runs', nargs='+', type=files.workdir, metavar='RUN',
        help='the folder of a run; several are compared',
    )  # fmt: skip
    parser.add_argument(
        '--step',
        default='latest',
        help="a step, 'latest' (default), or 'best' (by the run's config)",
    )
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Prints a line for each run.

    Raises:
        UserError: they differ; names in what, and the first array.
    """
    runtime.prepare()
    from genjax.training.audit import audit, whole
    from genjax.training.loading import load

    found = {}
    for name in args.runs:
        loaded = load(name, args.step)
        found[name] = loaded.step, *audit(loaded)
        step, order, arrays = found[name]
        print(f'{name}  step {step:,}  order {order[:_SHOWN]}  state {whole(arrays)[:_SHOWN]}')
    (first, expected), *others = found.items()
    for name, (step, order, arrays) in others:
        if step != expected[0]:
            raise UserError(f'{first} is at step {expected[0]}, {name} at step {step}: give --step')
        if order != expected[1]:
            raise UserError(f'{first} and {name} differ in the order of their examples')
        if arrays.keys() != expected[2].keys():
            raise UserError(f'{first} and {name} have different arrays')
        if differ := [path for path, value in arrays.items() if value != expected[2][path]]:
            raise UserError(
                f'{first} and {name} differ in {len(differ)} of {len(arrays)} arrays, the first is'
                f' {differ[0]}'
            )
