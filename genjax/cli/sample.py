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
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Draws and writes a picture, text, or arrays `x` (in the range of the data) and `label`."""
    from genjax.errors import UserError, nearest

    out = Path(args.out)
    kind = args.format or out.suffix.removeprefix('.')
    if kind not in _FORMATS:
        raise UserError(
            f'--out={out}: name it .png, .npz or .txt, or give --format{nearest(kind, _FORMATS)}'
        )
    if args.num < 1:
        raise UserError(f'--num must be at least 1, not {args.num}')

    with runtime.computing(args):
        _draw(args, out, kind)


def _draw(args: argparse.Namespace, out: Path, kind: str) -> None:
    import numpy as np

    from genjax.errors import UserError
    from genjax.evaluation import pictures
    from genjax.training import distributed
    from genjax.training import run as runs
    from genjax.training.sampling import draw

    run = runs.load(Path(args.workdir), args.step)
    dataset = run.experiment.dataset
    if kind == 'txt' and not hasattr(dataset, 'texts'):
        raise UserError(f'{type(dataset).__name__} is no text: name --out .png or .npz')
    samples = draw(run.experiment, run.state.averaged, args.num, args.seed, args.label)
    if not distributed.is_first():
        return
    if kind == 'png':
        pictures.save(out, samples['x'])
    elif kind == 'txt':
        with files.replacing(out) as temporary:
            temporary.write_text('\n'.join(dataset.texts(samples['x'])) + '\n', 'utf-8')
    else:
        with files.replacing(out) as temporary, temporary.open('wb') as file:
            np.savez(file, **samples)
    print(f'{args.num} samples of {args.workdir}, step {run.step:,}: {out}')
