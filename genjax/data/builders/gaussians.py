"""Points in the plane from a mixture of Gaussians of known density, to detect lost modes."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from genjax.data.toy.mixtures import LAYOUTS

SIZES = {'train': 100_000, 'validation': 10_000, 'test': 10_000}


class Gaussians(tfds.core.GeneratorBasedBuilder):
    """Points [2] of a uniform mixture of isotropic Gaussians; the label is the component.

    Train: 100,000 points, as Lin et al. (PacGAN, 2018); validation and test: 10,000 each.
    """

    VERSION = tfds.core.Version('1.0.0')
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=name, description=f'{len(layout.centres)} components')
        for name, layout in LAYOUTS.items()
    ]

    def _info(self):
        components = len(LAYOUTS[self.builder_config.name].centres)
        return tfds.core.DatasetInfo(
            builder=self,
            description='An even mixture of round Gaussians in the plane.',
            features=tfds.features.FeaturesDict(
                {
                    'point': tfds.features.Tensor(shape=(2,), dtype=np.float32),
                    'label': tfds.features.ClassLabel(num_classes=components),
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
        layout = LAYOUTS[self.builder_config.name]
        # RandomState's streams are frozen by NumPy's policy; default_rng's may change.
        random = np.random.RandomState(seed)
        points, labels = layout.draw(random, size)
        for row, (point, label) in enumerate(zip(points.astype(np.float32), labels, strict=True)):
            yield row, {'point': point, 'label': int(label)}
