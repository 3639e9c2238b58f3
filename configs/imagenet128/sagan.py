"""SAGAN on ImageNet at 128x128 with classes: spectral norm, hinge loss and self-attention.

    genjax train --config=configs/imagenet128/sagan.py --workdir=runs/imagenet128_sagan

For one host of 8 GPUs or TPU chips. The data are a TFDS builder of your own (docs/data.md), named
by its import path; it holds ImageNet as pictures of 128x128. Budget: a million steps.
Published (Zhang et al., 2019): FID 18.65, Inception score 52.52.

The same run, small, on 8x8 digits, in 45 seconds on one CPU core:

    genjax train --config=configs/imagenet128/sagan.py:digits --workdir=runs/sagan_digits \
        --config.steps=300

Expected: strokes, and few digits yet.
"""

from typing import Literal

import optax

from genjax.config import spec, with_fields
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.models import GAN
from genjax.networks import ResNetDiscriminator, ResNetGenerator
from genjax.training import Experiment

DIGITS = {
    'dataset': Digits(),
    'model.generator': ResNetGenerator((8, 8, 1), 16, attention=8, spectral_norm=True),
    'model.discriminator': ResNetDiscriminator(16, attention=4, spectral_norm=True),
    'model.num_classes': 10,
    'batch_size': 64,
    'ema': (0.99,),
}


def get_config(data: Literal['imagenet128', 'digits'] = 'imagenet128'):
    """The run as a config; `digits` is a small model of the same make."""
    network = {'features': 64, 'attention': 32, 'spectral_norm': True, 'dtype': 'bfloat16'}
    config = spec(
        Experiment,
        dataset=TFDS('imagenet128.ImageNet128', test='validation', in_memory=False),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=GAN(
            generator=ResNetGenerator(shape=(128, 128, 3), **network),
            discriminator=ResNetDiscriminator(**network),
            latent_dim=128,
            loss='hinge',
            num_classes=1000,
        ),
        # The two rates of Heusel et al. (2017): the discriminator learns faster.
        optimizer={
            'discriminator': spec(optax.adam, 4e-4, b1=0.0, b2=0.9),
            'generator': spec(optax.adam, 1e-4, b1=0.0, b2=0.9),
        },
        steps=1_000_000,
        batch_size=256,
        ema=(0.999,),
        log_every=100,
        checkpoint_every=5000,
        sample_every=5000,
    )
    return with_fields(config, DIGITS if data == 'digits' else {})
