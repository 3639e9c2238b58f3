"""Small TFDS builders, importable as `toys.<Class>`, as a user's own would be."""

import numpy as np
import pytest

from genjax.data.sources import InMemorySource
from tests.data import own

TOYS = '''
import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format='PNG')
    file.seek(0)
    return file


class Toy(tfds.core.GeneratorBasedBuilder):
    """A picture of one colour, the number of the row, under two features; labels are row % 3."""

    VERSION = tfds.core.Version('1.0.0')
    SIZES = {'train': 50, 'test': 7}
    FEATURES = {
        'image': tfds.features.Image(shape=(4, 6, 3)),
        'label': tfds.features.ClassLabel(num_classes=3),
        'name': tfds.features.Text(),
    }
    SHUFFLED = True

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(self.FEATURES),
            disable_shuffling=not self.SHUFFLED,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(size) for split, size in self.SIZES.items()}

    def _generate_examples(self, size):
        for row in range(size):
            image = png(np.full((4, 6, 3), row, np.uint8))
            yield row, {'image': image, 'label': row % 3, 'name': f'row {row}'}


class Sorted(Toy):
    SHUFFLED = False


class Complete(Toy):
    SIZES = {'train': 20, 'valid': 5, 'test': 5}


class TrainOnly(Toy):
    SIZES = {'train': 20}


class Parts(Toy):
    SIZES = {'first': 20, 'second': 5}


class Bits(Toy):
    FEATURES = {'image': tfds.features.Image(shape=(2, 2, 1))}

    def _generate_examples(self, size):
        for row in range(size):
            yield row, {'image': png(np.array([[0, 1], [1, row % 2]], np.uint8))}


class Vectors(Toy):
    FEATURES = {
        'features': tfds.features.Tensor(shape=(3,), dtype=np.float64),
        'other': tfds.features.Tensor(shape=(2,), dtype=np.int64),
    }

    def _generate_examples(self, size):
        for row in range(size):
            yield row, {'features': np.arange(3) + row / 2, 'other': [row, -row]}


class AnySize(Toy):
    FEATURES = {'image': tfds.features.Image(shape=(None, None, 3))}

    def _generate_examples(self, size):
        yield 0, {'image': png(np.zeros((3, 5, 3), np.uint8))}


class TornImage(Toy):
    SHUFFLED = False
    SIZES = {'train': 5, 'validation': 1, 'test': 1}
    FEATURES = {'image': tfds.features.Image(shape=(4, 6, 3))}

    def value(self, row):
        stored = png(np.full((4, 6, 3), row, np.uint8)).getvalue()
        return {'image': io.BytesIO(stored[:-20] if row == 2 else stored)}

    def _generate_examples(self, size):
        for row in range(size):
            yield row, self.value(row)


class MissingNumber(TornImage):
    FEATURES = {'x': tfds.features.Tensor(shape=(2,), dtype=np.float32)}

    def value(self, row):
        return {'x': [1, np.nan if row == 2 else 2]}


class LargeNumber(TornImage):
    FEATURES = {'x': tfds.features.Tensor(shape=(2,), dtype=np.int64)}

    def value(self, row):
        return {'x': [1, 2**32 + 5 if row == 2 else 2]}


class UnknownLabel(TornImage):
    FEATURES = {
        'x': tfds.features.Tensor(shape=(2,), dtype=np.float32),
        'label': tfds.features.ClassLabel(num_classes=3),
    }

    def value(self, row):
        return {'x': [1, 2], 'label': -1 if row == 2 else row % 3}


class Broken(Toy):
    def _generate_examples(self, size):
        yield 0, {'image': png(np.zeros((4, 6, 3), np.uint8)), 'label': 0, 'name': 'first'}
        raise OSError('the disk is on fire')
'''


@pytest.fixture(scope='session', autouse=True)
def toys(tmp_path_factory):
    """Makes `toys` importable; the value is the folder it lies in."""
    folder = tmp_path_factory.mktemp('toys')
    (folder / 'toys.py').write_text(TOYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture(scope='session')
def folder_of_own_data(tmp_path_factory):
    return tmp_path_factory.mktemp('own')


@pytest.fixture(params=own.KINDS, ids=own.identifier)
def own_data(request, folder_of_own_data):
    """A data set of the user's own files, in memory and streamed."""
    name, in_memory = request.param
    return own.DATASETS[name](folder_of_own_data, in_memory=in_memory)


@pytest.fixture(
    params=[None, *own.KINDS], ids=lambda kind: own.identifier(kind) if kind else 'plain'
)
def any_source(request, folder_of_own_data):
    """The training split of a data set of each kind."""
    if request.param is None:
        return InMemorySource({'x': np.arange(23)[:, None], 'label': np.arange(23) % 3})
    name, in_memory = request.param
    return own.DATASETS[name](folder_of_own_data, in_memory=in_memory).source('train')
