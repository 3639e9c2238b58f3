"""First stage of latent models of ImageNet at 256x256: KL-f8, codes of 32x32x4 numbers.

    genjax train --config=configs/imagenet256/latent_autoencoder.py \
        --workdir=runs/imagenet256_autoencoder

For one host of 8 GPUs or TPU chips. The data are a TFDS builder of your own (docs/data.md), named
by its import path; it holds ImageNet as pictures of 256x256. Published (Rombach et al., 2022, and
their table of models; trained on OpenImages, with LPIPS as the feature loss): reconstructions of
the ImageNet validation pictures with an FID of .90 and a PSNR of 24.19.

A second run models the codes: `genjax encode` stores them for `dit_xl2.py` and `sit_xl2.py`.

The same run, small, on 8x8 digits:

    genjax train --config=configs/imagenet256/latent_autoencoder.py:digits \
        --workdir=runs/digits_autoencoder --config.steps=200

Expected: a PSNR of 23.9 on the test split after these few steps, less than a minute of one CPU
core.
"""

import optax

from genjax.config import spec
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.errors import UserError
from genjax.evaluation import Reconstruction
from genjax.models import KLAutoencoder
from genjax.networks import MapDecoder, MapEncoder, PatchDiscriminator
from genjax.schedules import Scheduled, staircase
from genjax.training import Experiment


def get_config(data: str = 'imagenet256'):
    """The run as a config; `data` is imagenet256, or digits for a small model of the same make."""
    if data not in ('imagenet256', 'digits'):
        raise UserError(f"data is 'imagenet256' or 'digits', not {data!r}")
    small = data == 'digits'
    features = (16, 32) if small else (128, 256, 512, 512)
    network = {
        'num_blocks': 1 if small else 2,
        'attention': True,
        'dtype': 'float32' if small else 'bfloat16',
    }
    start, end = (100, 10_000) if small else (50_000, 450_000)
    adam = spec(optax.adam, learning_rate=1e-3 if small else 1e-4, b1=0.5, b2=0.9)
    return spec(
        Experiment,
        dataset=spec(Digits)
        if small
        else spec(TFDS, name='imagenet256.ImageNet256', test='validation', in_memory=False),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=spec(
            KLAutoencoder,
            encoder=spec(MapEncoder, features=features, **network),
            decoder=spec(
                MapDecoder,
                shape=(8, 8, 1) if small else (256, 256, 3),
                features=features[::-1],
                **network,
            ),
            discriminator=spec(
                PatchDiscriminator,
                features=(16, 32) if small else (64, 128, 256, 512),
                dtype=network['dtype'],
            ),
            channels=2 if small else 4,
            adversarial=spec(
                Scheduled,
                schedule=spec(staircase, values=(0.0, 0.5), lengths=(start, end - start)),
            ),
            adaptive=True,
        ),
        optimizer={'autoencoder': adam, 'discriminator': adam},
        steps=end,
        batch_size=64 if small else 96,
        ema=(0.99 if small else 0.9999,),
        log_every=100,
        checkpoint_every=5000,
        sample_every=5000,
        evals={
            'reconstruction': spec(Reconstruction),
        },
    )
