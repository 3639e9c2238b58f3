"""`genjax config`: prints a config, or compares it with another one."""

import argparse

from genjax import files
from genjax.cli import runtime

HELP = 'print a config with types and descriptions, or its differences from another'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--config', type=files.local, required=True, metavar='FILE',
        help='a file with get_config(), or the config.json of a run; --config.batch_size=8 changes'
        ' one field',
    )  # fmt: skip
    parser.add_argument(
        '--diff', type=files.local, metavar='RUN|FILE',
        help='print only the fields in which the folder of a run, or another config, differs',
    )  # fmt: skip
    parser.add_argument(
        '--calls', action='store_true',
        help='print the calls that make the config, without what is at its default',
    )  # fmt: skip
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Prints every field by the path that an override uses."""
    from pathlib import Path

    from genjax import config as configs
    from genjax.config import show

    config = configs.load(args.config, args.overrides)
    if args.diff:
        run_file = Path(args.diff) / 'config.json'
        other = configs.load(str(run_file) if Path(args.diff).is_dir() else args.diff)
        pairs = list(show.differences(configs.absolute(config), configs.absolute(other)))
        for path, here, there in pairs:
            print(f'{path} = {here}  # {args.diff}: {there}')
        if not pairs:
            print(f'no differences from {args.diff}')
    elif args.calls:
        print(show.calls(config))
    else:
        for field in show.fields(config):
            notes = ': '.join(filter(None, (field.type, field.description)))
            print(f'{field.path} = {field.value}' + (f'  # {notes}' if notes else ''))
