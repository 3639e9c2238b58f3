"""Small GANs on mixtures in the plane: which of them keep all modes?

genjax sweep --config=experiments/gan_stability/sweep.py:ring --launcher=vectorized --workdir=DIR
"""

import optax

from genjax.config import spec
from genjax.data import Gaussians
from genjax.evaluation import Modes
from genjax.models import GAN
from genjax.networks import MLP
from genjax.sweeps import product, seeds, zip
from genjax.training import Experiment

STEPS = 2000

REGULARISERS = zip(
    {'model.r1': [0.0, 0.1, 0.0], 'model.gradient_penalty': [0.0, 0.0, 1.0]},
)
"""None, R1 and the gradient penalty."""


def get_config(layout='ring'):
    """The run that the sweep changes; `layout` is 'ring' or 'grid'."""
    adam = spec(optax.adam, learning_rate=1e-3, b1=0.0, b2=0.99)
    return spec(
        Experiment,
        dataset=spec(Gaussians, layout=layout),
        model=spec(
            GAN,
            generator=spec(MLP, features=(128, 128), shape=(2,)),
            discriminator=spec(MLP, features=(128, 128), shape=(), activation='leaky_relu'),
            latent_dim=2,
        ),
        optimizer={'discriminator': adam, 'generator': adam},
        steps=STEPS,
        steps_per_call=10,
        batch_size=128,
        ema=(0.995,),
        log_every=500,
        checkpoint_every=0,
        evals={
            'modes': spec(Modes, num_samples=10_000),
        },
        num_samples=1000,
    )


def sweep(layout='ring'):
    """Loss × regulariser × critic steps × learning rate, five times."""
    del layout
    rates = [5e-4, 2e-3]
    return product(
        {'model.loss': ['non_saturating', 'hinge', 'wasserstein', 'relativistic']},
        REGULARISERS,
        {'model.num_critic': [1, 3]},
        zip(
            {
                'optimizer.generator.learning_rate': rates,
                'optimizer.discriminator.learning_rate': rates,
            }
        ),
        seeds(5),
    )
