"""A small data set of each kind that reads the user's own files, by name."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from genjax import data


def arrays(folder: Path, **fields):
    path = folder / 'x.npz'
    if not path.exists():
        random = np.random.RandomState(0)
        images = random.randint(0, 256, (60, 4, 5, 3)).astype(np.uint8)
        np.savez_compressed(path, images=images, labels=np.arange(60) % 3, c=random.randn(60, 2))
    return data.Arrays(str(path), x='images', label='labels', context='c', **fields)


def images(folder: Path, **fields):
    """Three classes; mixed sizes and kinds; names with spaces and letters of many languages."""
    root = folder / 'photos and drawings'
    for number, name in enumerate(('cat', 'old dog', 'Ölfisch 魚')):
        if (root / name).exists():
            continue
        (root / name).mkdir(parents=True)
        random = np.random.RandomState(number)
        for row in range(20):
            shape = (*random.randint(9, 40, 2), *((3,) if row % 3 else ()))
            image = Image.fromarray(random.randint(0, 256, shape).astype(np.uint8))
            image.save(root / name / f'{row} ü é.{("png", "jpg", "JPEG", "webp")[row % 4]}')
    return data.Images(str(root), **{'size': (6, 8), **fields})


def table(folder: Path, **fields):
    """Numbers, whole numbers and names of classes, in several row groups."""
    path = folder / 'x.parquet'
    if not path.exists():
        random = np.random.RandomState(0)
        kinds = np.array(['ant', 'bee', 'cow'])[np.arange(70) % 3]
        columns = {'a': random.randn(70), 'b': np.arange(70), 'c': random.rand(70), 'kind': kinds}
        pq.write_table(pa.table(columns), path, row_group_size=16)
    return data.Table(str(path), x=('a', 'b'), label='kind', context='c', **fields)


def corpus(folder: Path, **fields):
    """Texts of random letters in a folder."""
    root = folder / 'corpus' / 'part one'
    if not root.exists():
        root.mkdir(parents=True)
        random = np.random.RandomState(0)
        for number in range(40):
            letters = random.choice(list('abcdefgh ü'), random.randint(12, 30))
            (root / f'{number}.txt').write_text(''.join(letters), 'utf-8')
    return data.Text(str(folder / 'corpus'), 'bytes', context=8, validation=0.2, test=0.2, **fields)


def sentences(folder: Path, **fields):
    """Labelled texts in the column of a table."""
    path = folder / 'sentences.csv'
    if not path.exists():
        lines = [f'{"good" if n % 3 else "bad"},sentence {n}' for n in range(60)]
        path.write_text('\n'.join(['mood,text', *lines]))
    fields = {'context': 16, 'by': 'line', 'validation': 0.2, 'test': 0.2, **fields}
    return data.Text(str(path), column='text', label='mood', **fields)


DATASETS = {
    'arrays': arrays,
    'images': images,
    'table': table,
    'corpus': corpus,
    'sentences': sentences,
}
KINDS = [(name, in_memory) for name in DATASETS for in_memory in (True, False)]


def identifier(kind):
    name, in_memory = kind
    return f'{name}-{"memory" if in_memory else "files"}'
