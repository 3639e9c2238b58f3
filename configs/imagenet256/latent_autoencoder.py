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

from typing import Literal

import optax

from genjax.config import FieldReference, spec, with_fields
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.evaluation import Reconstruction
from genjax.models import KLAutoencoder
from genjax.networks import MapDecoder, MapEncoder, PatchDiscriminator
from genjax.schedules import Scheduled, staircase
from genjax.training import Experiment

DIGITS = {
    'dataset': Digits(),
    'model.encoder': MapEncoder((16, 32), num_blocks=1, attention=True),
    'model.decoder': MapDecoder((8, 8, 1), (32, 16), num_blocks=1, attention=True),
    'model.discriminator': PatchDiscriminator((16, 32)),
    'model.channels': 2,
    'model.adversarial.schedule.lengths': (100, 9900),
    'optimizer.autoencoder.learning_rate': 1e-3,
    'optimizer.discriminator.learning_rate': 1e-3,
    'steps': 10_000,
    'batch_size': 64,
    'ema': (0.99,),
}


def get_config(data: Literal['imagenet256', 'digits'] = 'imagenet256'):
    """The run as a config; `digits` is a small model of the same make."""
    steps = FieldReference(450_000)
    features = (128, 256, 512, 512)
    network = {'num_blocks': 2, 'attention': True, 'dtype': 'bfloat16'}
    adam = spec(optax.adam, 1e-4, b1=0.5, b2=0.9)
    config = spec(
        Experiment,
        dataset=TFDS('imagenet256.ImageNet256', test='validation', in_memory=False),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=KLAutoencoder(
            encoder=MapEncoder(features, **network),
            decoder=MapDecoder((256, 256, 3), features[::-1], **network),
            discriminator=PatchDiscriminator((64, 128, 256, 512), dtype='bfloat16'),
            channels=4,
            adversarial=Scheduled(spec(staircase, (0.0, 0.5), (steps // 9, steps - steps // 9))),
            adaptive=True,
        ),
        optimizer={'autoencoder': adam, 'discriminator': adam},
        steps=steps,
        batch_size=96,
        ema=(0.9999,),
        log_every=100,
        checkpoint_every=5000,
        sample_every=5000,
        evals={'reconstruction': Reconstruction()},
    )
    return with_fields(config, DIGITS if data == 'digits' else {})
