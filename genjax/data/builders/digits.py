"""The 1,797 handwritten 8×8 digits of scikit-learn."""

import hashlib
import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

SIZES = {'train': 1297, 'validation': 200, 'test': 300}


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the rows of scikit-learn's table in each split; the split never changes.

    Within each class, rows are sorted by the sha256 of their index, a shuffle independent of
    library versions. The classes are then interleaved evenly, and the sequence is cut after 1,297
    and 1,497 rows: class proportions in each split are right to within one or two examples.

    Args:
        labels: the class of each row, [1797].
    """
    order = np.array(
        sorted(range(len(labels)), key=lambda row: hashlib.sha256(b'%d' % row).digest())
    )
    place = np.empty(len(labels))  # relative position of the row in its class, in (0, 1)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = order[np.argsort(place[order], kind='stable')]
    ends = np.cumsum(list(SIZES.values()))
    return dict(zip(SIZES, np.split(order, ends[:-1]), strict=True))


class Digits(tfds.core.GeneratorBasedBuilder):
    """Greyscale images [8, 8, 1] of handwritten digits with class labels.

    scikit-learn's values 0..16 become `round(value * 255 / 16)`, stored as PNG. Splits:
    `split_indices`.
    """

    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description='Optical recognition of handwritten digits (test part), 8x8 pixels.',
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(8, 8, 1), encoding_format='png'),
                    'label': tfds.features.ClassLabel(num_classes=10),
                }
            ),
            homepage='https://archive.ics.uci.edu/dataset/80',
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        # Imported here: scikit-learn is slow to import and needed only once.
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return {
            split: self._generate_examples(rows, pixels, digits.target)
            for split, rows in split_indices(digits.target).items()
        }

    def _generate_examples(self, rows, pixels, labels):
        for row in rows:
            # PNG bytes: TFDS can encode an array only with TensorFlow.
            png = io.BytesIO()
            Image.fromarray(pixels[row]).save(png, format='PNG')
            png.seek(0)
            yield int(row), {'image': png, 'label': int(labels[row])}
