"""R3GAN on CIFAR-10 with classes: relativistic, R1 and R2, and convolutions without tricks.

    genjax data prepare cifar10
    genjax train --config=configs/cifar10/r3gan.py --workdir=runs/cifar10_r3gan

For one host of 8 GPUs. As published, over the first 20 million images and by cosines: learning rate
2e-4 to 5e-5, Adam's second decay .9 to .99, weight of the penalties .05 to .005, probability of the
augmentations 0 to .3, half-life of the averages 0 to 5 million images. The run ends there; the
published one continues with the last values.
Published (Huang et al., 2024): FID 1.96, at its end.

The same run, small, on 8x8 digits, in three minutes on one CPU core:

    genjax train --config=configs/cifar10/r3gan.py:digits --workdir=runs/r3gan_digits \
        --config.steps=200 --config.batch_size=32

Expected: most samples are digits of their class. Grouped convolutions are slow on the CPU.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec, with_fields
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.models import GAN
from genjax.models.gan import Augment
from genjax.networks import R3GANDiscriminator, R3GANGenerator
from genjax.schedules import Scheduled, cosine, half_life
from genjax.training import Experiment
from genjax.training.optimizers import scheduled_adam

BATCH_SIZE = 512
STEPS = FieldReference(20_000_000 // BATCH_SIZE)


TRANSFORMS = ('flip', 'rotate90', 'translate', 'scale', 'brightness', 'saturation', 'contrast')

DIGITS = {
    'dataset': Digits(),
    'model.generator': R3GANGenerator((8, 8, 1), features=32, max_features=32),
    'model.discriminator': R3GANDiscriminator(features=32, max_features=32),
    'model.augment': None,
    'optimizer.discriminator': spec(optax.adam, 1e-3, b1=0.0, b2=0.99),
    'optimizer.generator': spec(optax.adam, 1e-3, b1=0.0, b2=0.99),
    'ema': (0.99,),
}


def _cosine(first: float, last: float):
    return spec(cosine, first, last, STEPS)


def get_config(data: Literal['cifar10', 'digits'] = 'cifar10'):
    """The run as a config; `digits` is a small model of the same make."""
    adam = spec(scheduled_adam, learning_rate=_cosine(2e-4, 5e-5), b1=0.0, b2=_cosine(0.9, 0.99))
    penalty = Scheduled(_cosine(0.05, 0.005))
    config = spec(
        Experiment,
        dataset=TFDS('cifar10'),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=GAN(
            generator=R3GANGenerator((32, 32, 3), features=768, dtype='bfloat16'),
            discriminator=R3GANDiscriminator(features=768, dtype='bfloat16'),
            latent_dim=64,
            loss='relativistic',
            r1=penalty,
            r2=penalty,
            augment=Augment(transforms=TRANSFORMS, probability=Scheduled(_cosine(0.0, 0.3))),
            num_classes=10,
        ),
        optimizer={'discriminator': adam, 'generator': adam},
        steps=STEPS,
        batch_size=BATCH_SIZE,
        ema=(Scheduled(spec(half_life, _cosine(0.0, 5e6), BATCH_SIZE)),),
        log_every=100,
        checkpoint_every=5000,
        sample_every=5000,
    )
    return with_fields(config, DIGITS if data == 'digits' else {})
