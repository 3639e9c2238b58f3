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

import optax

from genjax.config import spec
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.errors import UserError
from genjax.models import GAN
from genjax.networks import ResNetDiscriminator, ResNetGenerator
from genjax.training import Experiment


def get_config(data: str = 'imagenet128'):
    """The run as a config; `data` is imagenet128, or digits for a small model of the same make."""
    if data not in ('imagenet128', 'digits'):
        raise UserError(f"data is 'imagenet128' or 'digits', not {data!r}")
    small = data == 'digits'
    network = {
        'features': 16 if small else 64,
        'attention': 8 if small else 32,
        'dtype': 'float32' if small else 'bfloat16',
    }
    critic = {**network, 'attention': 4} if small else network
    return spec(
        Experiment,
        dataset=spec(Digits)
        if small
        else spec(TFDS, name='imagenet128.ImageNet128', test='validation', in_memory=False),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=spec(
            GAN,
            generator=spec(
                ResNetGenerator,
                shape=(8, 8, 1) if small else (128, 128, 3),
                spectral_norm=True,
                **network,
            ),
            discriminator=spec(ResNetDiscriminator, spectral_norm=True, **critic),
            latent_dim=128,
            loss='hinge',
            num_classes=10 if small else 1000,
        ),
        # The two rates of Heusel et al. (2017): the discriminator learns faster.
        optimizer={
            'discriminator': spec(optax.adam, learning_rate=4e-4, b1=0.0, b2=0.9),
            'generator': spec(optax.adam, learning_rate=1e-4, b1=0.0, b2=0.9),
        },
        steps=1_000_000,
        batch_size=64 if small else 256,
        ema=(0.99 if small else 0.999,),
        log_every=100,
        checkpoint_every=5000,
        sample_every=5000,
    )
