"""Images of jars with known height and width."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from genjax.data import jars

SIZES = {'train': 4_000, 'validation': 500, 'test': 1_000}


class Jars(tfds.core.GeneratorBasedBuilder):
    """Images [32, 32, 1] by `genjax.data.jars.render`, with the jar's height and width."""

    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description='Jars that differ in height and width.',
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(
                        shape=(jars.SIDE, jars.SIDE, 1), encoding_format='png'
                    ),
                    'factors': tfds.features.Tensor(shape=(2,), dtype=np.float32),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {
            split: self._generate_examples(seed, size)
            for seed, (split, size) in enumerate(SIZES.items())
        }

    def _generate_examples(self, seed, size):
        # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
        factors = jars.draw_factors(np.random.RandomState(seed), size).astype(np.float32)
        for row, (picture, both) in enumerate(zip(jars.render(factors), factors, strict=True)):
            png = io.BytesIO()  # TFDS can encode an array only with TensorFlow
            Image.fromarray(picture[..., 0]).save(png, format='PNG')
            png.seek(0)
            yield row, {'image': png, 'factors': both}
