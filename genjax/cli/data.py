"""`genjax data`: lists, prepares and shows data sets."""

import argparse

from genjax import files
from genjax.cli.reading import dataset_of

HELP = 'list, prepare and look at data sets'

GROUPS = ('data',)

_PICTURES, _POINTS, _ROWS = 64, 2000, 10  # examples that `show` draws or prints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest='action', metavar='action', required=True)
    actions = {
        'list': 'list the data sets of genjax and those prepared on this machine',
        'prepare': 'download a data set and convert it to a format for fast reading',
        'show': 'describe a data set, and plot or print some examples',
    }
    for name, text in actions.items():
        command = commands.add_parser(name, help=text, description=text)
        if name != 'list':
            command.add_argument('name', help='a TFDS name (mnist, gaussians/ring) or import path')
        if name == 'show':
            command.epilog = (
                'Other data sets are named as in a config, with their fields:'
                ' genjax data show @genjax.data.Images --data.path=photos --out=photos.png'
            )
            command.add_argument(
                '--out', type=files.output,
                help='the image to write, a .png; without it some examples are printed',
            )  # fmt: skip
            command.add_argument(
                '--num', type=int,
                help=f'examples ({_PICTURES} images, {_POINTS} points, {_ROWS} printed)',
            )  # fmt: skip
            command.add_argument(
                '--split', default='train', help='train (default), validation or test'
            )
        command.add_argument(
            '--data_dir',
            type=files.local,
            help='folder of all data sets ($TFDS_DATA_DIR or ~/tensorflow_datasets)',
        )


def run(args: argparse.Namespace) -> None:
    if args.action != 'list':
        from genjax.config import trust

        trust.on_path('.')  # the user's builder may be in the current folder
    {'list': _list, 'prepare': _prepare, 'show': _show}[args.action](args)


def _list(args: argparse.Namespace) -> None:
    from genjax.data import tfds_store
    from genjax.data.builders import BUNDLED

    head = ('name', 'examples', 'shape of x', 'size', 'where')
    rows, found = [], set()
    for prepared in tfds_store.prepared(args.data_dir):
        found.add(prepared.name.partition('/')[0])
        sizes = ', '.join(f'{split} {size:,}' for split, size in prepared.sizes.items())
        shape = '×'.join(str(length or '?') for length in prepared.shape or ())
        rows.append((prepared.name, sizes, shape, _bytes(prepared.size), str(prepared.folder)))
    rows += [
        (name, '', '', '', 'comes with genjax; prepared on first use')
        for name in BUNDLED
        if name not in found
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *sorted(rows)]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print('  '.join(cells).rstrip())


def _bytes(number: int) -> str:
    for unit in ('B', 'kB', 'MB'):
        if number < 1000:
            return f'{number:.0f} {unit}'
        number /= 1000
    return f'{number:.1f} GB'


def _prepare(args: argparse.Namespace) -> None:
    from genjax.data import tfds_store

    print(f'{args.name} is prepared: {tfds_store.prepare(args.name, args.data_dir)}')


def _show(args: argparse.Namespace) -> None:
    import numpy as np

    from genjax.data.pipeline import random_subset
    from genjax.errors import UserError
    from genjax.sampling import images

    if args.num is not None and args.num < 1:
        raise UserError(f'--num={args.num} must be positive')
    dataset = dataset_of(args.name, args.data, 'data', args.data_dir)
    source = dataset.source(args.split)
    drawn = _POINTS if len(dataset.event_shape) == 1 else _PICTURES
    rows = random_subset(len(source), args.num or (drawn if args.out else _ROWS))
    examples = source[rows]
    x = np.asarray(examples['x'])
    if args.out:
        images.save(args.out, x)
    shown = f'{len(rows)} of the {len(source):,} examples of {args.name}, {args.split}'
    print(f'{args.out}: {shown}' if args.out else shown)
    names = getattr(dataset, 'class_names', None)
    for name, array in examples.items():
        array = np.asarray(array)
        print(f'{name}: {array.dtype} {list(array.shape[1:])}, {array.min()} to {array.max()}')
    if dataset.num_classes is not None:
        known = ': ' + ', '.join(f'{i} {name}' for i, name in enumerate(names)) if names else ''
        print(f'{dataset.num_classes} classes{known}')
    if args.out or x.ndim > 2:
        return
    texts = dataset.texts(x) if hasattr(dataset, 'texts') else None
    for row in range(len(x)):
        label = examples['label'][row] if 'label' in examples else None
        known = label is not None and names and label >= 0
        parts = [repr(texts[row]) if texts else np.array2string(x[row], threshold=20)]
        parts += [] if label is None else [names[label] if known else str(label)]
        print('  '.join(parts))
