"""Class-conditional DCGAN on the 8x8 digits, non-saturating with R1.

    genjax train --config=configs/digits/gan.py --workdir=runs/gan
    genjax sample --workdir=runs/gan --label=3 --out=threes.png

Expected: clear digits of every class after two minutes on two cores.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Digits, Scale
from genjax.models import GAN
from genjax.networks import DCGANDiscriminator, DCGANGenerator
from genjax.training import Experiment


def get_config():
    steps = FieldReference(2000)
    adam = spec(optax.adam, spec(optax.linear_schedule, 1e-3, 5e-5, steps), b1=0.0, b2=0.99)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=GAN(
            generator=DCGANGenerator(shape=(8, 8, 1), features=32),
            discriminator=DCGANDiscriminator(features=32),
            latent_dim=32,
            r1=1.0,
            num_classes=10,
        ),
        optimizer={'discriminator': adam, 'generator': adam},
        steps=steps,
        batch_size=64,
        ema=(0.995,),
        sample_every=500,
        num_samples=100,
    )
