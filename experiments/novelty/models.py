"""Models and data of the study of novelty."""

import zipfile
from pathlib import Path

import numpy as np
import optax
from ml_collections import ConfigDict
from PIL import Image, ImageOps

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Arrays, Chain, Digits, Mutate, Scale
from genjax.models import VAE, Classifier, DiscretisedLogistic, LogisticMixture, PixelCNN
from genjax.networks import MLP, CausalWindow
from genjax.training import Experiment

FAMILIES = ('vae', 'pixelcnn')


def omniglot(folder: Path, side: int = 28) -> Arrays:
    """Characters of the two small background sets of Omniglot (Lake et al., 2015), from their zip
    files: 105×105 bits, inverted and averaged over boxes to `side`; half of them as test images.
    """
    images = []
    for number in (1, 2):
        with zipfile.ZipFile(folder / f'images_background_small{number}.zip') as archive:
            for name in sorted(archive.namelist()):
                if name.endswith('.png'):
                    with archive.open(name) as file:
                        image = ImageOps.invert(Image.open(file).convert('L'))
                    images.append(np.asarray(image.resize((side, side), Image.Resampling.BOX)))
    return Arrays(x=np.stack(images), splits={'test': 0.5})


def dataset(name: str) -> TFDS | Digits:
    """MNIST or Fashion-MNIST, with 1,000 images held out of the training data; or the digits."""
    if name == 'digits':
        return Digits()
    return TFDS(name, train='train[:59000]', validation='train[59000:]')


def density(family: str, data: str, rate: float = 0.0, steps: int | None = None) -> ConfigDict:
    """A model of the stored 8-bit images, as a config.

    Args:
        family: 'vae', a bound by 8 importance samples; or 'pixelcnn', exact.
        data: of `dataset`.
        rate: of the pixels redrawn at random in training: more than 0 for a background.
        steps: of training.
    """
    shape = dataset(data).event_shape
    if family == 'vae':
        net = {'activation': 'silu'}
        model = VAE(
            encoder=MLP((400, 400), **net),
            decoder=MLP((400, 400), shape=shape, **net),
            latent_dim=16,
            likelihood=DiscretisedLogistic(),
            eval_samples=8,
        )
        return _experiment(model, data, Chain(()), steps or 300, 128, rate)
    model = PixelCNN(CausalWindow(shape), likelihood=LogisticMixture(5))
    return _experiment(model, data, Chain(()), steps or 150, 32, rate, learning_rate=5e-3)


def classifier(data: str, steps: int = 500) -> ConfigDict:
    """A perceptron with 64 features, for the scores that need labels."""
    model = Classifier(MLP((256, 64), activation='silu'), 10)
    return _experiment(model, data, Chain((Scale(),)), steps, 128)


def _experiment(
    model, data, preprocess, steps, batch_size, rate=0.0, learning_rate=2e-3
) -> ConfigDict:
    steps = FieldReference(steps)
    return spec(
        Experiment,
        dataset=dataset(data),
        preprocess=preprocess,
        augment=(Mutate(rate),) if rate else (),
        model=model,
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, learning_rate, steps)),
        steps=steps,
        steps_per_call=10,
        batch_size=batch_size,
        ema=(0.95,),
        clip_norm=1000.0,  # the loss is summed over the pixels
        log_every=100,
        checkpoint_every=0,
    )
