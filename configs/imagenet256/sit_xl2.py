"""SiT-XL/2: latent flow matching of ImageNet at 256x256 by a transformer of 675 million parameters.

    genjax train --config=configs/imagenet256/latent_autoencoder.py \
        --workdir=runs/imagenet256_autoencoder
    genjax encode --workdir=runs/imagenet256_autoencoder --out=runs/imagenet256_codes
    genjax train --config=configs/imagenet256/sit_xl2.py --workdir=runs/sit_xl2

For a pod: 7 million steps of 256. The data are codes of 32x32x4 numbers, drawn from the means and
standard deviations that the second command stores (42 GB), and their classes. Published (Ma et
al., 2024): FID 2.06 with classifier-free guidance of 1.5 and 250 steps of a stochastic sampler;
here it is Heun's.

The same run, small, on 8x8 digits, in about a minute on one CPU core:

    genjax train --config=configs/imagenet256/sit_xl2.py:digits --workdir=runs/sit_digits \
        --config.steps=200

Expected: noisy strokes; 200 steps are a rehearsal.
"""

from typing import Literal

import optax

from genjax.config import spec, with_fields
from genjax.data import Chain, Digits, Latents, Scale
from genjax.models import DiffusionModel
from genjax.models.diffusion import ClassifierFree, DiffusionSampling, Heun, Rectified, Velocity
from genjax.networks import DiT
from genjax.training import Experiment, LoadLatents

DIGITS = {
    'dataset': Digits(),
    'preprocess': Chain((Scale(low=-1.0, high=1.0),)),
    'model.network': DiT((8, 8, 1), patch=2, features=96, num_layers=3, num_heads=3),
    'model.num_classes': 10,
    'model.sampling.steps': 25,
    'batch_size': 64,
}


def get_config(data: Literal['imagenet256', 'digits'] = 'imagenet256'):
    """The run as a config; `digits` is a small model of the same make."""
    config = spec(
        Experiment,
        # Shape and classes are for a dry run, before the codes are there.
        dataset=Latents('runs/imagenet256_codes', False, shape=(32, 32, 4), classes=1000),
        preprocess=Chain((LoadLatents('runs/imagenet256_autoencoder'),)),
        model=DiffusionModel(
            DiT(
                (32, 32, 4),
                patch=2,
                features=1152,
                num_layers=28,
                num_heads=16,
                scan=True,
                remat='full',
                dtype='bfloat16',
            ),
            path=Rectified(),
            parameterisation=Velocity(),
            num_classes=1000,
            sampling=DiffusionSampling(sampler=Heun(), steps=125, guide=ClassifierFree(1.5)),
        ),
        optimizer=spec(optax.adamw, 1e-4, weight_decay=0.0),
        steps=7_000_000,
        batch_size=256,
        ema=(0.9999,),
        log_every=100,
        sample_every=50_000,
        num_samples=64,
    )
    return with_fields(config, DIGITS if data == 'digits' else {})
