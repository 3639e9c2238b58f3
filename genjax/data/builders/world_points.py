"""Points drawn uniformly from the land of a stylised map."""

import numpy as np
import tensorflow_datasets as tfds

from genjax.data.toy.world import WorldPoints as World

SIZES = {'train': 10_000, 'validation': 1_000, 'test': 1_000}


class WorldPoints(tfds.core.GeneratorBasedBuilder):
    """Points [2], uniform on the land of `genjax.data.WorldPoints`."""

    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description='Points spread evenly over the land of a stylised map of the world.',
            features=tfds.features.FeaturesDict(
                {'point': tfds.features.Tensor(shape=(2,), dtype=np.float32)}
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
        random, kept = np.random.RandomState(seed), np.zeros((0, 2), np.float32)
        while len(kept) < size:
            points = random.uniform((-2, -1), (2, 1), (size, 2)).astype(np.float32)
            kept = np.concatenate([kept, points[World().on_land(points)]])
        for row, point in enumerate(kept[:size]):
            yield row, {'point': point}
