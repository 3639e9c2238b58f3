"""`genjax encode`: encodes a data set with a trained first stage, for models of its latents."""

import argparse

from genjax import files
from genjax.cli import runtime

HELP = 'encode a data set with a trained first stage, for models of its latents'
_SPLITS = 'train,validation,test'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--workdir', type=files.workdir, required=True, metavar='DIR', help='the folder of the run'
    )
    parser.add_argument(
        '--out', type=files.anywhere, required=True, metavar='DIR', help='the folder to write'
    )
    parser.add_argument(
        '--splits', default=_SPLITS, help=f'comma-separated splits (default {_SPLITS})'
    )
    parser.add_argument('--batch_size', type=int, default=256, help='examples per batch (256)')
    parser.add_argument(
        '--step', default='best', help="a step, 'latest', or 'best' (default; by the run's config)"
    )
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the latents of all splits, atomically."""
    from genjax.errors import UserError

    if args.batch_size < 1:
        raise UserError(f'--batch_size must be at least 1, not {args.batch_size}')
    out = files.as_path(args.out)

    runtime.prepare()
    from genjax.data import Latents
    from genjax.training.encoding import encode
    from genjax.training.first_stage import FirstStage

    stage = FirstStage.load(files.as_path(args.workdir), args.step)
    sizes = encode(stage, out, tuple(args.splits.split(',')), args.batch_size)
    counts = ', '.join(f'{split} {size:,}' for split, size in sizes.items())
    shape, dtype = Latents(args.out).example['x']
    print(f'{out}: {stage.provenance["name"]} encoded {counts}, each as {dtype}{list(shape)}')
