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

import optax

from genjax.config import spec
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.errors import UserError
from genjax.evaluation import PerceptualPathLength
from genjax.models import StyleGAN
from genjax.models.gan import Augment
from genjax.networks import StyleGANDiscriminator, StyleGANGenerator
from genjax.training import Experiment

BATCH_SIZE = 64
IMAGES = 25_000_000


def get_config(data: str = 'ffhq256'):
    """The run as a config; `data` is ffhq256, or digits for a small model of the same make."""
    if data not in ('ffhq256', 'digits'):
        raise UserError(f"data is 'ffhq256' or 'digits', not {data!r}")
    small = data == 'digits'
    shape = (8, 8, 1) if small else (256, 256, 3)
    width = {'features': 16, 'max_features': 32} if small else {'features': 64, 'max_features': 512}
    dtype = 'float32' if small else 'bfloat16'
    latents = 32 if small else 512
    adam = spec(optax.adam, learning_rate=2.5e-3, b1=0.0, b2=0.99)
    return spec(
        Experiment,
        dataset=spec(Digits)
        if small
        else spec(TFDS, name='ffhq256.FFHQ256', test='train', in_memory=False),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=spec(
            StyleGAN,
            generator=spec(
                StyleGANGenerator,
                shape=shape,
                latent_features=latents,
                mapping_layers=8,
                dtype=dtype,
                **width,
            ),
            discriminator=spec(StyleGANDiscriminator, dtype=dtype, **width),
            latent_dim=latents,
            r1=1.0,
            # Digits have a left and a right.
            augment=None if small else spec(Augment, transforms=('flip',)),
        ),
        optimizer={'discriminator': adam, 'generator': adam},
        steps=IMAGES // BATCH_SIZE,
        batch_size=BATCH_SIZE,
        ema=(0.5 ** (BATCH_SIZE / 20_000),),  # half of it is the last 20,000 images
        log_every=100,
        checkpoint_every=5000,
        sample_every=5000,
        evals={
            'path_length': spec(PerceptualPathLength),
        },
    )
