"""`genjax export`: writes a trained model for other programs."""

import argparse

from genjax import files
from genjax.cli import runtime

HELP = 'write a trained model for other programs: safetensors, jax.export, diffusers'
GROUPS = ('sampling',)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runtime.add_run(parser)
    parser.add_argument(
        '--out', type=files.anywhere, required=True, metavar='DIR', help='the folder to write'
    )
    parser.add_argument(
        '--format', choices=('safetensors', 'jax', 'diffusers'), default='safetensors',
        help='safetensors (default): the weights; jax: programs of sample and log_prob that need'
        ' jax and numpy only; diffusers: the U-Net or DiT',
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Writes the folder, whole or not at all."""
    files.check_new_folder(files.as_path(args.out))
    runtime.prepare()
    loaded = runtime.load_run(args)
    loaded.export(args.out, args.format)
    print(f'{args.out}: step {loaded.step:,} of {args.workdir} as {args.format}')
