"""`genjax sample`: draws samples from a trained model."""

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from genjax import files
from genjax.cli import runtime
from genjax.cli.reading import read_rows
from genjax.errors import UserError, nearest

if TYPE_CHECKING:
    import numpy as np

    from genjax.training.run import Run

HELP = 'draw samples from a trained model'
GROUPS = ('sampling',)
_FORMATS = ('png', 'npz', 'txt', 'images')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runtime.add_run(parser)
    parser.add_argument(
        '--out', type=files.anywhere, required=True, metavar='PATH',
        help='the file or folder to write',
    )  # fmt: skip
    parser.add_argument(
        '--num', type=int, help='number of samples (default 64, or one of each --context)'
    )
    parser.add_argument(
        '--label', metavar='LABELS',
        help='class labels, cycled: 3, 3,5 or 0..9 (default: all classes of the model)',
    )  # fmt: skip
    parser.add_argument(
        '--context', type=files.local, metavar='FILE',
        help='contexts, cycled: the array `context` [N, ...] of an .npz file, or an .npy file, for'
        ' a model with contexts',
    )  # fmt: skip
    parser.add_argument(
        '--prompt', metavar='TEXT',
        help='text that all samples begin with, for a model of text',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='random seed (default 0)')
    parser.add_argument(
        '--format', choices=_FORMATS,
        help='png: a grid; npz: an archive; txt: lines of text; images: a folder of PNG files'
        ' (default: by the name of --out)',
    )  # fmt: skip
    parser.add_argument(
        '--batch_size', type=int, metavar='N',
        help='samples per batch; limits memory (default 256)',
    )  # fmt: skip
    parser.add_argument(
        '--dtype', choices=('float32', 'uint8'),
        help='for .npz: uint8 is the array `arr_0` that FID tools read, the default for images;'
        ' float32 is the array `x`',
    )  # fmt: skip
    parser.add_argument(
        '--draws', action='store_true',
        help='draw from the likelihood in a grid, instead of showing its mean (VAEs)',
    )  # fmt: skip
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Draws samples and writes an image grid, an archive, text or a folder of images."""
    from genjax.config.ranges import check

    out = files.as_path(args.out)
    kind = args.format or out.suffix.removeprefix('.')
    if kind != 'images':
        files.output(args.out)
    if kind not in _FORMATS:
        raise UserError(
            f'--out={out}: name it .png, .npz or .txt, or give --format{nearest(kind, _FORMATS)}'
        )
    if kind == 'images' and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f'--out={out}: images are written to a new or empty folder')
    for name in ('num', 'batch_size'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f'--{name} must be at least 1, not {getattr(args, name)}')
    try:
        check('seed', args.seed)
    except ValueError as error:
        raise UserError(f'--seed {error}') from None
    if args.dtype and kind != 'npz':
        raise UserError(f'--dtype={args.dtype} is for arrays: name --out .npz')
    contexts = None if args.context is None else read_rows(args.context, '--context', 'context')
    if args.num is None:
        args.num = 64 if contexts is None else len(contexts)
    labels = None if args.label is None else parse_labels(args.label, args.num)

    with runtime.computing(args):
        _sample(args, labels, contexts, out, kind)


def parse_labels(text: str, num: int) -> list[int]:
    """Parses `3`, `3,5` or `0..9`; returns `num` labels, cycling through these."""
    chosen: list[int] = []
    for part in text.split(','):
        ends = re.fullmatch(r'\s*(-?\d+)(?:\.\.(\d+))?\s*', part)
        if not ends or (ends[2] and not int(ends[1]) <= int(ends[2]) < 2**31):
            raise UserError(f'--label={text}: write a class, 3, some, 3,5, or a range, 0..9')
        chosen += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return [chosen[i % len(chosen)] for i in range(num)]


def _sample(
    args: argparse.Namespace,
    labels: list[int] | None,
    contexts: 'np.ndarray | None',
    out: Path,
    kind: str,
) -> None:
    from genjax.parallel import distributed
    from genjax.sampling.draw import BATCH_SIZE

    run = runtime.load_run(args)
    dataset = run.experiment.dataset
    if kind == 'txt' and not hasattr(dataset, 'texts'):
        raise UserError(f'{type(dataset).__name__} is no text: name --out .png or .npz')
    if contexts is not None:
        contexts = contexts[[i % len(contexts) for i in range(args.num)]]
    parts = run.samples(
        args.num, label=labels, context=contexts, prompt=args.prompt, seed=args.seed,
        batch_size=args.batch_size or BATCH_SIZE, means=kind == 'png' and not args.draws,
    )  # fmt: skip
    if not distributed.is_first():
        for _ in parts:  # collective: all processes compute, process 0 writes
            pass
        return
    if kind == 'npz':
        _write_npz(out, parts, args.num, args.dtype)
    elif kind == 'images':
        _write_images(out, parts, args.num)
    elif kind == 'txt':
        with files.replacing(out) as temporary:
            lines = (line for part in parts for line in dataset.texts(part['x']))
            temporary.write_text('\n'.join(lines) + '\n', 'utf-8')
    else:
        _write_grid(out, parts, run, args)
    print(f'{args.num} samples of {args.workdir}, step {run.step:,}: {out}')


def _write_npz(
    out: Path, parts: Iterable[Mapping[str, 'np.ndarray']], num: int, dtype: str | None
) -> None:
    from genjax.sampling import images, npz

    def stored(parts: Iterable[Mapping[str, 'np.ndarray']]) -> Iterator[dict[str, 'np.ndarray']]:
        for part in parts:
            x, others = part['x'], {name: part[name] for name in part if name != 'x'}
            if dtype == 'uint8' or (dtype is None and images.is_image(x.shape[1:])):
                yield {'arr_0': images.as_bytes(x), **others}
            else:
                yield {'x': x if dtype is None else x.astype(dtype), **others}

    with files.replacing(out) as temporary, temporary.open('wb') as file:
        npz.write(file, stored(parts), num)


def _write_images(out: Path, parts: Iterable[Mapping[str, 'np.ndarray']], num: int) -> None:
    from genjax.sampling import images

    number, width = 0, len(str(num - 1))
    for part in parts:
        labels = part.get('label', [None] * len(part['x']))
        for image, label in zip(images.as_bytes(part['x']), labels, strict=True):
            suffix = '' if label is None else f'-{label}'
            images.write(out / f'{number:0{width}}{suffix}.png', image)
            number += 1


def _write_grid(
    out: Path, parts: Iterable[Mapping[str, 'np.ndarray']], run: 'Run', args: argparse.Namespace
) -> None:
    import numpy as np

    from genjax.sampling import images

    caption = images.sample_caption(run.model, means=not args.draws, labels=args.label)
    x = np.concatenate([part['x'] for part in parts])
    images.save(out, x, caption=f'{caption}, step {run.step:,}')
