"""`genjax plan`: what a run needs and takes on devices that are not there."""

import argparse

from genjax import files
from genjax.cli import runtime

HELP = 'plan a run on a pod that is not there: memory, work, transfers, least time'
_PROGRAMS = ('train', 'sample', 'evaluate')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `plan`."""
    parser.add_argument(
        '--config',
        type=files.local,
        required=True,
        metavar='FILE',
        help='a file with get_config(); --config.mesh.fsdp=8 changes one field',
    )
    parser.add_argument(
        '--topology', required=True, metavar='NAME', help='v5e:16x16, v5p:4x4x4, …, or cpu-8'
    )
    parser.add_argument('--slices', type=int, default=1, help='of that topology (default 1)')
    parser.add_argument(
        '--program', choices=_PROGRAMS, default='train', help='what to plan (default train)'
    )
    parser.add_argument(
        '--search',
        action='store_true',
        help='rank meshes, micro-batches and recomputation by the least time of a step',
    )
    parser.add_argument('--layout', action='store_true', help='show where every parameter lies')
    parser.add_argument(
        '--quick', action='store_true', help='optimise less: several times faster, a little off'
    )
    parser.add_argument('--json', action='store_true', help='print it all as JSON, for scripts')
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Plans and prints.

    Raises:
        UserError: it cannot be planned, or does not fit.
    """
    import json

    from genjax import config
    from genjax.errors import UserError
    from genjax.planning import report, topology
    from genjax.planning.run import run as plan

    if args.search and args.program != 'train':
        raise UserError('--search ranks arrangements for training alone: leave --program out')
    where = topology.parse(args.topology, args.slices)
    runtime.prepare()
    answer = plan(
        config.load(args.config, args.overrides), where, args.program, args.search, args.quick
    )
    if args.json:
        print(json.dumps(answer, indent=1))
    else:
        print(f'{args.config} on {where}: {args.program}')
        shown = report.ranking(answer) if args.search else report.lines(answer, args.layout)
        print('\n'.join(shown))
    if args.search:
        if not answer['search']:
            raise UserError(f'nothing fits on {where}')
    elif answer['plan']['fits'] is False:
        raise UserError(f'it does not fit on {where}; {_advice(answer)}')


def _advice(answer: dict) -> str:
    if 'largest' not in answer:
        return 'sharding more (config.mesh.fsdp) may help'
    largest = answer['largest']
    if largest is None:
        return 'nor does a micro-batch of 1: config.mesh.fsdp, remat or a smaller model may help'
    return (
        f'the largest micro-batch that does is {largest["micro_batch"]} a device:'
        f' --config.accumulate={largest["accumulate"]}'
    )
