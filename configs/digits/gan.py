"""Class-conditional DCGAN on the 8x8 digits, non-saturating with R1.

    genjax train --config=configs/digits/gan.py --workdir=runs/gan
    genjax sample --workdir=runs/gan --label=3 --out=threes.png

Expected: clear digits of every class after two minutes on two cores.
"""

import optax

from genjax.config import spec
from genjax.data import Chain, Digits, Scale
from genjax.models import GAN
from genjax.networks import DCGANDiscriminator, DCGANGenerator
from genjax.training import Experiment

STEPS = 2000


def _adam():
    decay = spec(optax.linear_schedule, init_value=1e-3, end_value=5e-5, transition_steps=STEPS)
    return spec(optax.adam, learning_rate=decay, b1=0.0, b2=0.99)


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Digits),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=spec(
            GAN,
            generator=spec(DCGANGenerator, shape=(8, 8, 1), features=32),
            discriminator=spec(DCGANDiscriminator, features=32),
            latent_dim=32,
            r1=1.0,
            num_classes=10,
        ),
        optimizer={'discriminator': _adam(), 'generator': _adam()},
        steps=STEPS,
        batch_size=64,
        ema=(0.995,),
        sample_every=500,
        num_samples=100,
    )
