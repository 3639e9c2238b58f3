"""People with five features, drawn from a known population, as a table or as images."""

import io
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from genjax.data import avatars

SIZES = {
    'table': {'train': 50, 'validation': 1_000, 'test': 10_000},
    'pictures': {'train': 8_000, 'validation': 1_000, 'test': 2_000},
}


class Avatars(tfds.core.GeneratorBasedBuilder):
    """Feature values [5] and, for `pictures`, their rendering by `genjax.data.avatars.render`."""

    VERSION = tfds.core.Version('1.0.0')
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=form, description=f'as {form}') for form in avatars.FORMS
    ]

    def _info(self):
        num_features = len(avatars.NUM_VALUES)
        features = {'features': tfds.features.Tensor(shape=(num_features,), dtype=np.int32)}
        if self.builder_config.name == 'pictures':
            features['image'] = tfds.features.Image(
                shape=(avatars.SIDE, avatars.SIDE, 3), encoding_format='png'
            )
        return tfds.core.DatasetInfo(
            builder=self,
            description='People of five features, from a population that is known.',
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        sizes = SIZES[self.builder_config.name]
        return {
            split: self._generate_examples(seed, size)
            for seed, (split, size) in enumerate(sizes.items())
        }

    def _generate_examples(self, seed, size):
        # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
        people = avatars.draw(np.random.RandomState(seed), size).astype(np.int32)
        if self.builder_config.name == 'table':
            yield from ((row, {'features': person}) for row, person in enumerate(people))
            return
        for row, (person, picture) in enumerate(zip(people, avatars.render(people), strict=True)):
            png = io.BytesIO()  # TFDS can encode an array only with TensorFlow
            Image.fromarray(picture).save(png, format='PNG')
            png.seek(0)
            yield row, {'features': person, 'image': png}
