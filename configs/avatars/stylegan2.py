"""StyleGAN2 on rendered avatars: is its latent space straighter than that of its codes?

    genjax train --config=configs/avatars/stylegan2.py --workdir=runs/avatars_stylegan2

Expected (seed 0): path lengths of 896 in W and 1,900 in Z, in pixels, after 1,000 steps: seven
minutes on one core beside other work. It is a start: samples show backgrounds, faces and shirts but
no features, and a two-sample test tells .996 of them.
"""

import optax

from genjax.config import spec
from genjax.data import Avatars, Chain, Scale
from genjax.evaluation import C2ST, PerceptualPathLength
from genjax.models import StyleGAN
from genjax.networks import StyleGANDiscriminator, StyleGANGenerator
from genjax.training import Experiment


def get_config():
    adam = spec(optax.adam, 2.5e-3, b1=0.0, b2=0.99)
    return spec(
        Experiment,
        dataset=Avatars(form='pictures'),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=StyleGAN(
            generator=StyleGANGenerator(
                shape=(32, 32, 3), features=8, max_features=32, latent_features=64, mapping_layers=4
            ),
            discriminator=StyleGANDiscriminator(features=8, max_features=32),
            latent_dim=64,
            r1=0.1,
        ),
        optimizer={'discriminator': adam, 'generator': adam},
        steps=1000,
        batch_size=16,
        ema=(0.99,),
        log_every=100,
        sample_every=500,
        num_samples=64,
        evals={
            'path_length': PerceptualPathLength(num_samples=1000),
            'c2st': C2ST(num_samples=500),
        },
    )
