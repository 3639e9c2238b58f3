"""`genjax sample`: draws from a trained model."""

import argparse
from pathlib import Path

from genjax import files
from genjax.cli import runtime

HELP = 'draw samples from a trained model'
_FORMATS = ('png', 'npz', 'txt')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `sample`."""
    parser.add_argument(
        '--workdir', type=files.workdir, required=True, metavar='DIR', help='the folder of the run'
    )
    parser.add_argument(
        '--out', type=files.output, required=True, metavar='FILE', help='the file to write'
    )
    parser.add_argument('--num', type=int, default=64, help='how many (default 64)')
    parser.add_argument('--label', type=int, help='the class of all of them')
    parser.add_argument('--seed', type=int, default=0, help='of the noise (default 0)')
    parser.add_argument(
        '--step', default='best', help="a step, 'latest', or 'best' (default; by the run's config)"
    )
    parser.add_argument(
        '--format',
        choices=_FORMATS,
        help='a picture, arrays, or text (default: by the name of --out)',
    )
    parser.add_argument(
        '--batch_size', type=int, metavar='N',
        help='how many to draw at a time, at most; bounds the memory (default 256)',
    )  # fmt: skip
    parser.add_argument(
        '--dtype', choices=('float32', 'uint8'),
        help="the type of the samples in an .npz; 'uint8' is a quarter of the size, for images"
        ' (default: as they are drawn)',
    )  # fmt: skip
    runtime.add_first_stage(parser)
    runtime.add_trust(parser)
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Draws and writes a picture, text, or arrays `x` (in the range of the data) and `label`."""
    from genjax.config.ranges import check
    from genjax.errors import UserError, nearest

    out = Path(args.out)
    kind = args.format or out.suffix.removeprefix('.')
    if kind not in _FORMATS:
        raise UserError(
            f'--out={out}: name it .png, .npz or .txt, or give --format{nearest(kind, _FORMATS)}'
        )
    for name in ('num', 'batch_size'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f'--{name} must be at least 1, not {getattr(args, name)}')
    try:
        check('seed', args.seed)
    except ValueError as error:
        raise UserError(f'--seed {error}') from None
    if args.dtype and kind != 'npz':
        raise UserError(f'--dtype={args.dtype} is for arrays: name --out .npz')

    with runtime.computing(args):
        _draw(args, out, kind)


def _draw(args: argparse.Namespace, out: Path, kind: str) -> None:
    import numpy as np

    from genjax.errors import UserError
    from genjax.evaluation import pictures
    from genjax.parallel import distributed
    from genjax.training import npz, sampling
    from genjax.training import run as runs

    run = runs.load(Path(args.workdir), args.step, args.first_stage)
    dataset = run.experiment.dataset
    if kind == 'txt' and not hasattr(dataset, 'texts'):
        raise UserError(f'{type(dataset).__name__} is no text: name --out .png or .npz')
    parts = sampling.draws(
        run.experiment,
        run.state.averaged,
        args.num,
        args.seed,
        args.label,
        args.batch_size or sampling.SAMPLES_PER_CALL,
    )
    if not distributed.is_first():
        for _ in parts:  # computed together
            pass
        return
    if kind == 'npz':
        with files.replacing(out) as temporary, temporary.open('wb') as file:
            npz.write(file, parts, args.num, args.dtype)
    else:
        x = np.concatenate([part['x'] for part in parts])
        if kind == 'png':
            pictures.save(out, x)
        else:
            with files.replacing(out) as temporary:
                temporary.write_text('\n'.join(dataset.texts(x)) + '\n', 'utf-8')
    print(f'{args.num} samples of {args.workdir}, step {run.step:,}: {out}')
