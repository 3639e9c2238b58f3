"""`genjax plan`: estimates memory, FLOPs, transfers and step time on absent devices."""

import argparse

from genjax import files
from genjax.cli import runtime

HELP = "estimate memory and step time on hardware you don't have"
_PROGRAMS = ('train', 'sample', 'evaluate')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--config',
        type=files.local,
        required=True,
        metavar='FILE',
        help='a file with get_config(); --config.mesh.fsdp=8 changes one field',
    )
    parser.add_argument(
        '--topology',
        required=True,
        metavar='NAME',
        help='v5e:16x16, v5p:4x4x4, h200:8x4, …, or cpu-8',
    )
    parser.add_argument(
        '--slices', type=int, default=1, help='number of slices of that topology (default 1)'
    )
    parser.add_argument(
        '--program', choices=_PROGRAMS, default='train', help='program to plan (default train)'
    )
    parser.add_argument(
        '--search',
        action='store_true',
        help='rank meshes, micro-batches and rematerialisation by the lower bound on step time',
    )
    parser.add_argument(
        '--fit', action='store_true',
        help='search, and print only the overrides of the best arrangement, for `genjax train`',
    )  # fmt: skip
    parser.add_argument(
        '--layout', action='store_true', help='show the sharding of every parameter'
    )
    parser.add_argument(
        '--quick', action='store_true', help='optimise less: several times faster, slightly inexact'
    )
    parser.add_argument('--json', action='store_true', help='print the plan as JSON')
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Plans and prints.

    Raises:
        UserError: the program cannot be planned, or does not fit.
    """
    import json

    from genjax import config
    from genjax.errors import UserError
    from genjax.planning import report, topology
    from genjax.planning.run import run as plan

    searches = args.search or args.fit
    if searches and args.program != 'train':
        raise UserError('--search and --fit arrange training alone: leave --program out')
    where = topology.parse(args.topology, args.slices)
    runtime.prepare()
    answer = plan(
        config.load(args.config, args.overrides), where, args.program, searches, args.quick
    )
    if args.json:
        print(json.dumps(answer, indent=1))
    elif args.fit:
        if answer['search']:
            print(report.overrides(answer['search'][0]['fields']))
    else:
        print(f'{args.config} on {where}: {args.program}')
        shown = report.ranking(answer) if args.search else report.lines(answer, args.layout)
        print('\n'.join(shown))
    if searches:
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
