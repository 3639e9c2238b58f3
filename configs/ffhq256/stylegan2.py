"""StyleGAN2 on FFHQ at 256x256, mirrored, for one host of 8 GPUs.

    genjax train --config=configs/ffhq256/stylegan2.py --workdir=runs/ffhq256_stylegan2

The data are a TFDS builder of your own (docs/data.md), named by its import path; it holds the
70,000 faces as pictures of 256x256. Budget: 25 million images.
Published: FID 3.78 (StyleGAN2, as tabled by Huang et al., 2024).

The same run, small, on 8x8 digits, in 40 seconds on one CPU core:

    genjax train --config=configs/ffhq256/stylegan2.py:digits --workdir=runs/stylegan2_digits \
        --config.steps=200 --config.batch_size=16

Expected: path lengths, of pixels, of 16 in W and 65 in Z; the digits are blurred yet.
"""

from typing import Literal

import optax

from genjax.config import spec, with_fields
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.evaluation import PerceptualPathLength
from genjax.models import StyleGAN
from genjax.models.gan import Augment
from genjax.networks import StyleGANDiscriminator, StyleGANGenerator
from genjax.training import Experiment

BATCH_SIZE = 64

DIGITS = {
    'dataset': Digits(),
    'model.generator': StyleGANGenerator(
        (8, 8, 1), latent_features=32, mapping_layers=8, features=16, max_features=32
    ),
    'model.discriminator': StyleGANDiscriminator(features=16, max_features=32),
    'model.latent_dim': 32,
    'model.augment': None,  # digits have a left and a right
}


def get_config(data: Literal['ffhq256', 'digits'] = 'ffhq256'):
    """The run as a config; `digits` is a small model of the same make."""
    width = {'features': 64, 'max_features': 512, 'dtype': 'bfloat16'}
    adam = spec(optax.adam, 2.5e-3, b1=0.0, b2=0.99)
    config = spec(
        Experiment,
        dataset=TFDS('ffhq256.FFHQ256', test='train', in_memory=False),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=StyleGAN(
            generator=StyleGANGenerator(
                (256, 256, 3), latent_features=512, mapping_layers=8, **width
            ),
            discriminator=StyleGANDiscriminator(**width),
            latent_dim=512,
            r1=1.0,
            augment=Augment(transforms=('flip',)),
        ),
        optimizer={'discriminator': adam, 'generator': adam},
        steps=25_000_000 // BATCH_SIZE,
        batch_size=BATCH_SIZE,
        ema=(0.5 ** (BATCH_SIZE / 20_000),),  # half of it is the last 20,000 images
        log_every=100,
        checkpoint_every=5000,
        sample_every=5000,
        evals={'path_length': PerceptualPathLength()},
    )
    return with_fields(config, DIGITS if data == 'digits' else {})
