"""A small data set of each kind that reads the user's own files, by name."""

from pathlib import Path

import numpy as np

from genjax import data


def arrays(folder: Path, **fields):
    path = folder / 'x.npz'
    if not path.exists():
        random = np.random.RandomState(0)
        images = random.randint(0, 256, (60, 4, 5, 3)).astype(np.uint8)
        np.savez_compressed(path, images=images, labels=np.arange(60) % 3, c=random.randn(60, 2))
    return data.Arrays(str(path), x='images', label='labels', context='c', **fields)


DATASETS = {'arrays': arrays}
KINDS = [(name, in_memory) for name in DATASETS for in_memory in (True, False)]


def identifier(kind):
    name, in_memory = kind
    return f'{name}-{"memory" if in_memory else "files"}'
