"""Pictures of a model that translates and draws nothing."""

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from genjax.data import Chain, Digits, Scale, Transformed, Unpaired
from genjax.errors import UserError
from genjax.models import CycleGAN
from genjax.networks import MLP
from genjax.sampling import images
from genjax.sampling.apply import translate
from genjax.sampling.draw import draw
from genjax.training import Experiment
from genjax.training.images import write_images

pytestmark = pytest.mark.slow

NEGATIVE = {'output': {'kernel': -np.eye(64, dtype=np.float32), 'bias': np.zeros(64, np.float32)}}
VARIABLES = {'params': {'generator_ab': NEGATIVE}, 'state': {}}


def _experiment():
    generator, discriminator = MLP((), shape=(8, 8, 1)), MLP((), shape=())
    return Experiment(
        dataset=Unpaired(Digits(), Transformed(Digits(), 'inverted')),
        model=CycleGAN(generator, generator, discriminator, discriminator),
        optimizer=optax.adam(1e-3),
        steps=1,
        batch_size=4,
        preprocess=Chain((Scale(-1.0, 1.0),)),
        num_samples=10,
    )


def test_originals_stand_above_their_translations(tmp_path):
    variables = jax.device_put(VARIABLES)
    written = write_images(_experiment(), variables, tmp_path, 7)
    assert written == {'translations': tmp_path / 'translations' / '7.png'}
    x = _experiment().dataset.source('validation')[np.arange(5)]['x']
    # In the range of the data, as if there had been no preprocessing.
    translated = translate(_experiment().model, _experiment().preprocess, variables, x[:, 0])
    np.testing.assert_allclose(translated, 255 - x[:, 0].astype(float), atol=1e-3)
    with Image.open(written['translations']) as image:
        shown = np.asarray(image, int)
    height = images.image_grid(np.zeros((4, 8, 8, 1)), 4).shape[0] - 2
    above, below = shown[2:50, 2:50], shown[2 + height : 50 + height, 2:50]
    assert above.max() > 200  # a digit
    np.testing.assert_allclose(below, 255 - above, atol=1)


def test_it_draws_no_samples():
    with pytest.raises(UserError, match='a CycleGAN draws no samples'):
        draw(_experiment().model, VARIABLES, 3)
