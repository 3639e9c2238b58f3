"""R3GAN on stacked MNIST: does it find all 1000 modes?

    genjax data prepare mnist
    genjax train --config=configs/stacked_mnist/gan.py --workdir=runs/stacked_mnist

Sized for a GPU. On a CPU, to see it run:

    genjax train --config=configs/stacked_mnist/gan.py --workdir=runs/stacked_mnist_small \
        --config.steps=200 --config.model.generator.features=8 \
        --config.model.discriminator.features=8 --config.batch_size=32

Published, of 1000 modes: DCGAN 99, VEEGAN 150, PacDCGAN2 1000 with a KL of .06 nats (Lin et al.,
2018), R3GAN 1000 (Huang et al., 2024), each judged by its authors' own classifier. Not yet measured
here.
"""

import optax

from genjax.config import spec
from genjax.data import TFDS, Chain, Scale, Stacked
from genjax.evaluation import ClassModes
from genjax.models import GAN
from genjax.networks import R3GANDiscriminator, R3GANGenerator
from genjax.training import Experiment

STEPS = 30_000


def _adam():
    decay = spec(optax.cosine_decay_schedule, init_value=2e-4, decay_steps=STEPS, alpha=0.25)
    return spec(optax.adam, learning_rate=decay, b1=0.0, b2=0.99)


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Stacked, base=spec(TFDS, name='mnist')),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=spec(
            GAN,
            generator=spec(R3GANGenerator, shape=(28, 28, 3), features=64),
            discriminator=spec(R3GANDiscriminator, features=64),
            latent_dim=64,
            loss='relativistic',
            r1=1.0,
            r2=1.0,
        ),
        optimizer={'discriminator': _adam(), 'generator': _adam()},
        steps=STEPS,
        batch_size=256,
        ema=(0.999,),
        validate_every=5000,
        validation=(spec(ClassModes, num_samples=5000, classifier='cnn'),),
        checkpoint_every=5000,
        sample_every=5000,
        test=(spec(ClassModes, classifier='cnn'),),
        num_samples=100,
    )
